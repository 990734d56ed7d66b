"""Table descriptions in Dataherald's words, and back."""

from tunery.core.text_to_sql import Column, ForeignKey, ScanStatus, TableDescription
from tunery.dialects.dataherald.fields import stamped
from tunery.dialects.dataherald.table_descriptions import schemas
from tunery.dialects.dataherald.table_descriptions.schemas import Status
from tunery.service.text_to_sql.tables import ColumnEdit, TableEdit

_STATUS: dict[ScanStatus, Status] = {
    ScanStatus.NOT_SCANNED: "NOT_SCANNED",
    ScanStatus.SYNCHRONIZING: "SYNCHRONIZING",
    ScanStatus.SCANNED: "SCANNED",
    ScanStatus.DEPRECATED: "DEPRECATED",
    ScanStatus.FAILED: "FAILED",
}


def to_core(body: schemas.TableDescriptionRequest) -> TableEdit:
    """What `body` says about a table."""
    return TableEdit(
        description=body.description,
        columns=[_edit(column) for column in body.columns or ()],
        metadata=body.metadata,
    )


def to_wire(table: TableDescription) -> schemas.TableDescriptionResponse:
    """`table` as every route answers it."""
    last = table.last_schema_sync
    return schemas.TableDescriptionResponse(
        id=table.id,
        db_connection_id=table.db_connection_id,
        schema_name=table.schema_name,
        table_name=table.table_name,
        description=table.description,
        table_schema=table.table_schema,
        columns=[_column(column) for column in table.columns],
        examples=table.examples,
        last_schema_sync=None if last is None else stamped(last),
        status=_STATUS[table.status],
        error_message=table.error_message,
        metadata=table.metadata,
        created_at=stamped(table.created_at),
    )


def _edit(column: schemas.ColumnDescriptionRequest) -> ColumnEdit:
    key = column.foreign_key
    return ColumnEdit(
        name=column.name,
        description=column.description,
        data_type=column.data_type,
        is_primary_key=column.is_primary_key,
        low_cardinality=column.low_cardinality,
        categories=None if column.categories is None else tuple(column.categories),
        foreign_key=None
        if key is None
        else ForeignKey(field_name=key.field_name, reference_table=key.reference_table),
    )


def _column(column: Column) -> schemas.ColumnResponse:
    key = column.foreign_key
    return schemas.ColumnResponse(
        name=column.name,
        is_primary_key=column.is_primary_key,
        data_type=column.data_type,
        description=column.description,
        low_cardinality=column.low_cardinality,
        categories=column.categories,
        foreign_key=None
        if key is None
        else schemas.ForeignKey(field_name=key.field_name, reference_table=key.reference_table),
    )
