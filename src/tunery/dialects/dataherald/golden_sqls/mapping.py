"""Golden records in Dataherald's words, and back."""

from tunery.core.text_to_sql import GoldenRecord
from tunery.dialects.dataherald.fields import stamped
from tunery.dialects.dataherald.golden_sqls.schemas import GoldenSqlRequest, GoldenSqlResponse
from tunery.service.text_to_sql.golden_records import NewGoldenRecord


def to_core(body: GoldenSqlRequest) -> NewGoldenRecord:
    """The golden record that `body` brings."""
    return NewGoldenRecord(
        db_connection_id=body.db_connection_id,
        prompt_text=body.prompt_text,
        sql=body.sql,
        metadata=body.metadata,
    )


def to_wire(record: GoldenRecord) -> GoldenSqlResponse:
    """`record` as every route answers it."""
    return GoldenSqlResponse(
        id=record.id,
        db_connection_id=record.db_connection_id,
        prompt_text=record.prompt_text,
        sql=record.sql,
        metadata=record.metadata,
        created_at=stamped(record.created_at),
    )
