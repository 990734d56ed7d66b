"""All use cases, as the composition root hands them to dialects."""

from dataclasses import dataclass

from tunery.service.deployments import Deployments
from tunery.service.files import Files
from tunery.service.finetunes import Finetunes
from tunery.service.generate import Generation
from tunery.service.health import Health
from tunery.service.image_generations import ImageGenerations
from tunery.service.jobs import Jobs
from tunery.service.keys import Keys
from tunery.service.links import Links
from tunery.service.models import Models
from tunery.service.routing import Routing
from tunery.service.text_to_sql.connections import Connections
from tunery.service.text_to_sql.finetunings import Finetunings
from tunery.service.text_to_sql.golden_records import GoldenRecords
from tunery.service.text_to_sql.instructions import Instructions
from tunery.service.text_to_sql.prompts import Prompts
from tunery.service.text_to_sql.sql_generations import SqlGenerations
from tunery.service.text_to_sql.tables import Tables


@dataclass(frozen=True, kw_only=True)
class TextToSql:
    """From a database to a model that answers questions with SQL."""

    connections: Connections
    tables: Tables
    golden_records: GoldenRecords
    instructions: Instructions
    finetunings: Finetunings
    prompts: Prompts
    sql_generations: SqlGenerations


@dataclass(frozen=True, kw_only=True)
class Services:
    """What a route may call."""

    keys: Keys
    files: Files
    jobs: Jobs
    models: Models
    deployments: Deployments
    routing: Routing
    generation: Generation
    health: Health
    text_to_sql: TextToSql
    finetunes: Finetunes
    image_generations: ImageGenerations
    links: Links
    public_url: str | None
    """What links to this server begin with; None: as the request that they answer."""
    reads_in_place: bool
    """Whether a read by key may run on the event loop: true where it costs less than a thread."""
