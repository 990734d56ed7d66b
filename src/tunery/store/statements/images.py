"""Images asked of tuned models."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql

from tunery.store.statements.parts import given, value
from tunery.store.statements.query import Query
from tunery.store.tables import PENDING, image_generations

_COLUMNS = [column for column in image_generations.c if column.name != "sequence"]

# Named after PostgreSQL, but SQLite writes it the same way.
NEW_IMAGE = Query(
    postgresql.insert(image_generations)
    .values({each.name: value(each.name, each) for each in _COLUMNS})
    .on_conflict_do_nothing()
    .inline()
)
IMAGE = Query(
    select(image_generations.c.value).where(
        given(image_generations.c.project_id), given(image_generations.c.id)
    )
)
# The signature of a link stands for the project.
IMAGE_OF_LINK = Query(select(image_generations.c.value).where(given(image_generations.c.id)))
COUNT_PENDING = Query(
    select(func.count())
    .select_from(image_generations)
    .where(given(image_generations.c.project_id), PENDING)
)
REPLACE_IMAGE = Query(
    update(image_generations)
    .where(image_generations.c.project_id == value("of_project", image_generations.c.project_id))
    .where(image_generations.c.id == value("generation_id", image_generations.c.id))
    .values(
        status=value("status", image_generations.c.status),
        value=value("value", image_generations.c.value),
    )
)
