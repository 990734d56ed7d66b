"""`/api/v1/golden-sqls`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tunery.core.pages import NumberedPage
from tunery.dialects.answers import answer
from tunery.dialects.dataherald.errors import DataheraldRoute, service_errors
from tunery.dialects.dataherald.fields import UpdateMetadata, page
from tunery.dialects.dataherald.golden_sqls.mapping import to_core, to_wire
from tunery.dialects.dataherald.golden_sqls.schemas import Deleted, GoldenSqlRequests
from tunery.dialects.route import caller, services
from tunery.service.text_to_sql.ids import object_id

router = APIRouter(route_class=DataheraldRoute, tags=["golden SQLs"])


@router.post("", status_code=201)
def add(request: Request, body: GoldenSqlRequests) -> Response:
    """Add questions with their SQL: all of them, or none where one cannot be kept."""
    with service_errors({"items": body}, otherwise="golden_sql_not_created"):
        records = services(request).text_to_sql.golden_records.add(
            caller(request), [to_core(item) for item in body]
        )
    return answer([to_wire(record) for record in records], status=201)


@router.get("")
def list_records(
    request: Request,
    paging: Annotated[NumberedPage, Depends(page)],
    db_connection_id: str | None = None,
) -> Response:
    """List golden SQLs by page, oldest first; with `db_connection_id`, those of a connection."""
    records = services(request).text_to_sql.golden_records.list(
        caller(request), paging, connection_id=(db_connection_id or "").lower() or None
    )
    return answer([to_wire(record) for record in records])


@router.put("/{golden_sql_id}")
def update(request: Request, golden_sql_id: str, body: UpdateMetadata) -> Response:
    """Replace the metadata of a golden SQL."""
    record = services(request).text_to_sql.golden_records.set_metadata(
        caller(request), object_id(golden_sql_id, param="golden_sql_id"), body.metadata
    )
    return answer(to_wire(record))


@router.delete("/{golden_sql_id}")
def delete(request: Request, golden_sql_id: str) -> Response:
    """Delete a golden SQL; the answer is the same where there is none."""
    services(request).text_to_sql.golden_records.delete(
        caller(request), object_id(golden_sql_id, param="golden_sql_id")
    )
    return answer(Deleted())
