"""Databases, golden records and questions: what a job in text-to-SQL is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Metadata = Mapping[str, object]

FEWEST_GOLDEN_RECORDS = 10
"""Dataherald's minimum, which is OpenAI's for training files."""
MOST_GOLDEN_RECORDS = 10_000
"""Each is run before a job starts, named on the job, and learnt from."""
_FEWEST_TO_SPARE_SOME = 12
_MOST_HELD_OUT = 50


def n_held_out(n: int) -> int:
    """How many of `n` golden records are kept from training, to ask both models about later.

    A tenth, where that leaves the fewest that a job can train on.
    """
    if n < _FEWEST_TO_SPARE_SOME:
        return 0
    return min(n - FEWEST_GOLDEN_RECORDS, max(2, round(n / 10)), _MOST_HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class SqlSource:
    """What the training set of a job is built from."""

    db_connection_id: str
    golden_records: tuple[str, ...]
    """Their ids, all of the connection."""
    schemas: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DatabaseConnection:
    """A database of the customer's. What is secret in it is sealed, bound to `id`."""

    id: str
    """24 hexadecimal digits, as all ids here."""
    project_id: str
    created_at: datetime
    alias: str
    dialect: str
    """"postgresql" or "sqlite"."""
    sealed_uri: str
    schemas: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    echo: Mapping[str, object] = field(default_factory=dict)
    """What its door must give back and nobody else has a use for; secrets in it are sealed."""


class ScanStatus(StrEnum):
    """What is known of a table."""

    NOT_SCANNED = "NOT_SCANNED"
    SYNCHRONIZING = "SYNCHRONIZING"
    SCANNED = "SCANNED"
    DEPRECATED = "DEPRECATED"
    """The database has it no longer."""
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    """Where a column points."""

    field_name: str
    reference_table: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    name: str
    data_type: str
    is_primary_key: bool = False
    description: str | None = None
    low_cardinality: bool = False
    categories: tuple[str, ...] | None = None
    """Every value that occurs, where there are few."""
    foreign_key: ForeignKey | None = None


@dataclass(frozen=True, kw_only=True)
class ScannedTable:
    """What a scan finds out about a table."""

    table_schema: str
    """Its CREATE TABLE statement."""
    columns: tuple[Column, ...]
    examples: tuple[Mapping[str, str], ...]
    """A few rows, values as text."""


@dataclass(frozen=True, kw_only=True)
class TableDescription:
    """A table of a connected database, as scanned and as described by people."""

    id: str
    project_id: str
    db_connection_id: str
    created_at: datetime
    schema_name: str | None = None
    table_name: str
    status: ScanStatus = ScanStatus.NOT_SCANNED
    description: str | None = None
    table_schema: str | None = None
    columns: tuple[Column, ...] = ()
    examples: tuple[Mapping[str, str], ...] = ()
    last_schema_sync: datetime | None = None
    """When the last scan began or ended."""
    error_message: str | None = None
    metadata: Metadata | None = None


@dataclass(frozen=True, kw_only=True)
class GoldenRecord:
    """A question, and the SQL that answers it."""

    id: str
    project_id: str
    db_connection_id: str
    created_at: datetime
    prompt_text: str
    sql: str
    metadata: Metadata | None = None


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What an administrator wants every SQL of a database to heed."""

    id: str
    project_id: str
    db_connection_id: str
    created_at: datetime
    instruction: str
    metadata: Metadata | None = None


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A question asked of a database."""

    id: str
    project_id: str
    db_connection_id: str
    created_at: datetime
    text: str
    schemas: tuple[str, ...] | None = None
    metadata: Metadata | None = None


class SqlStatus(StrEnum):
    """Whether generated SQL runs."""

    NONE = "NONE"
    VALID = "VALID"
    INVALID = "INVALID"


@dataclass(frozen=True, kw_only=True)
class FailedSql:
    """SQL that did not run, and why."""

    sql: str
    error: str


@dataclass(frozen=True, kw_only=True)
class SqlGeneration:
    """SQL that was written for a prompt, by a tuned model or by a base model."""

    id: str
    project_id: str
    prompt_id: str
    created_at: datetime
    model: str | None
    """The model that wrote it; None where the caller brought the SQL."""
    finetuning_id: str | None = None
    """The job whose model it is."""
    status: SqlStatus = SqlStatus.NONE
    completed_at: datetime | None = None
    sql: str | None = None
    error: str | None = None
    """The database's own words, after one attempt to repair."""
    repaired: FailedSql | None = None
    """The first attempt, where there was a second."""
    tokens_used: int | None = None
    metadata: Metadata | None = None
    echo: Mapping[str, object] = field(default_factory=dict)
    """What its door must give back and nobody else has a use for."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a query gave."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    """Values as the driver gives them, in the order of the columns."""
    truncated: bool = False
    """Whether there were more rows than were asked for."""
