"""`/api/v1/table-descriptions`."""

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.background import BackgroundTask

from tunery.core.text_to_sql import TableDescription
from tunery.dialects.answers import answer
from tunery.dialects.dataherald.errors import DataheraldRoute, service_errors
from tunery.dialects.dataherald.patience import patient, scans
from tunery.dialects.dataherald.table_descriptions.mapping import to_core, to_wire
from tunery.dialects.dataherald.table_descriptions.schemas import (
    RefreshRequest,
    ScannerRequest,
    TableDescriptionRequest,
)
from tunery.dialects.route import caller, services
from tunery.service.text_to_sql.ids import is_object_id

router = APIRouter(route_class=DataheraldRoute, tags=["table descriptions"])


@router.post("/sync-schemas", status_code=201)
def sync_schemas(request: Request, body: ScannerRequest) -> Response:
    """Scan tables, after the answer: those named by `ids`, or all of `db_connection_id`."""
    tables = services(request).text_to_sql.tables
    if body.ids is not None:
        begun = tables.begin_scan(caller(request), body.ids, metadata=body.metadata)
    elif body.db_connection_id is not None:
        with service_errors(body, otherwise="refresh_failed"):
            begun = tables.begin_scan_of_all(
                caller(request), body.db_connection_id, metadata=body.metadata
            )
    else:
        raise _nothing_to_scan()
    response = _tables(begun, status=201)
    response.background = BackgroundTask(scans.run, partial(tables.scan, begun))
    return response


@router.post("/refresh", status_code=201)
@patient
def refresh(request: Request, body: RefreshRequest) -> Response:
    """Look which tables a database has now: new ones are added, those gone are DEPRECATED."""
    with service_errors(body, otherwise="refresh_failed"):
        tables = services(request).text_to_sql.tables.refresh(
            caller(request), body.db_connection_id
        )
    return _tables(tables, status=201)


@router.get("")
def list_tables(request: Request, db_connection_id: str, table_name: str | None = None) -> Response:
    """List the tables of a connection, or those of one name."""
    tables = services(request).text_to_sql.tables
    return _tables(tables.list(caller(request), db_connection_id.lower(), table_name=table_name))


@router.get("/{table_description_id}")
def retrieve(request: Request, table_description_id: str) -> Response:
    """Retrieve a table's description."""
    tables = services(request).text_to_sql.tables
    return answer(to_wire(tables.get(caller(request), _table_id(table_description_id))))


@router.put("/{table_description_id}")
def update(request: Request, table_description_id: str, body: TableDescriptionRequest) -> Response:
    """Write down what people know of a table and of its columns, which go by their names."""
    tables = services(request).text_to_sql.tables
    table_id = _table_id(table_description_id)
    return answer(to_wire(tables.edit(caller(request), table_id, to_core(body))))


def _table_id(given: str) -> str:
    if not is_object_id(given):
        raise HTTPException(
            400, f"{given!r} is not a valid ObjectId; it must be 24 hexadecimal digits"
        )
    return given.lower()


def _nothing_to_scan() -> RequestValidationError:
    message = "Field required, or db_connection_id in its place"
    return RequestValidationError([{"type": "missing", "loc": ("body", "ids"), "msg": message}])


def _tables(tables: Sequence[TableDescription], *, status: int = 200) -> Response:
    return answer([to_wire(table) for table in tables], status=status)
