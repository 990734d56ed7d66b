"""What every shelf is: the kind of its values, and what they are found by."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec

from tunery.core.errors import InvalidValue
from tunery.core.models import Deployment
from tunery.core.text_to_sql import (
    DatabaseConnection,
    GoldenRecord,
    Instruction,
    Prompt,
    SqlGeneration,
    TableDescription,
)


class Shelved(Protocol):
    """What all values on shelves have."""

    @property
    def id(self) -> str:
        """Unlike any other, in whatever project."""

    @property
    def project_id(self) -> str:
        """Whose it is."""

    @property
    def created_at(self) -> datetime:
        """When it came."""


Kept = TypeVar("Kept", bound=Shelved)

_encoder = msgspec.json.Encoder()


class Kind(Generic[Kept]):
    """One kind of values, and how they are written down."""

    def __init__(
        self, name: str, type: type[Kept], parent: Callable[[Kept], str] | None = None
    ) -> None:
        """`name` is in the core's words; `parent` says what a value belongs to."""
        self.name = name
        self.parent = parent
        self._decoder: msgspec.json.Decoder[Kept] = msgspec.json.Decoder(type)

    def encoded(self, value: Kept) -> str:
        """`value` as a JSON text.

        Raises:
            InvalidValue: a text in it is none.
        """
        try:
            return _encoder.encode(value).decode()
        except UnicodeEncodeError as error:
            raise InvalidValue(
                f"{error.object!r} is not text: it has half of a character"
            ) from error

    def decoded(self, text: str) -> Kept:
        """The value that `encoded` was given."""
        return self._decoder.decode(text)


CONNECTION = Kind("database connection", DatabaseConnection)
TABLE = Kind("table description", TableDescription, lambda table: table.db_connection_id)
GOLDEN_RECORD = Kind("golden record", GoldenRecord, lambda record: record.db_connection_id)
INSTRUCTION = Kind("instruction", Instruction, lambda given: given.db_connection_id)
PROMPT = Kind("prompt", Prompt, lambda prompt: prompt.db_connection_id)
SQL_GENERATION = Kind("SQL generation", SqlGeneration, lambda generated: generated.prompt_id)
DEPLOYMENT = Kind("deployment", Deployment, lambda deployment: deployment.model)
