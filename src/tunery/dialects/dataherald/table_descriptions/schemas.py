"""Table descriptions on the wire."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from pydantic import Field

from tunery.dialects.dataherald.fields import Body, LongText, Metadata, Name, ObjectId

MOST_AT_ONCE = 10_000
MOST_CATEGORIES = 1000

Status = Literal["NOT_SCANNED", "SYNCHRONIZING", "SCANNED", "DEPRECATED", "FAILED"]


class ForeignKeyDetail(Body):
    """Where a column points."""

    field_name: Name
    reference_table: Name


class ColumnDescriptionRequest(Body):
    """What somebody says about a column; what is null stays as it is."""

    name: Name
    description: LongText | None = None
    is_primary_key: bool | None = None
    data_type: Name | None = None
    low_cardinality: bool | None = None
    categories: Annotated[list[Name], Field(max_length=MOST_CATEGORIES)] | None = None
    foreign_key: ForeignKeyDetail | None = None


class TableDescriptionRequest(Body):
    """What somebody says about a table; what is null stays as it is."""

    description: LongText | None = None
    columns: Annotated[list[ColumnDescriptionRequest], Field(max_length=MOST_AT_ONCE)] | None = None
    metadata: Metadata | None = None


class ScannerRequest(Body):
    """The tables to scan: those with these `ids`, or all of a connection."""

    ids: Annotated[list[ObjectId], Field(max_length=MOST_AT_ONCE)] | None = None
    db_connection_id: ObjectId | None = None
    metadata: Metadata | None = None


class RefreshRequest(Body):
    """The connection whose tables are to be looked for again."""

    db_connection_id: ObjectId


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True):
    """Where a column points."""

    field_name: str
    reference_table: str


class ColumnResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A column."""

    name: str
    is_primary_key: bool
    data_type: str
    description: str | None
    low_cardinality: bool
    categories: Sequence[str] | None
    foreign_key: ForeignKey | None


class TableDescriptionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A table, as scanned and as described by people."""

    id: str
    db_connection_id: str
    schema_name: str | None
    table_name: str
    description: str | None
    table_schema: str | None
    columns: Sequence[ColumnResponse]
    examples: Sequence[Mapping[str, str]]
    last_schema_sync: str | None
    status: Status
    error_message: str | None
    metadata: Mapping[str, object] | None
    created_at: str
