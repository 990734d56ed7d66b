"""`/api/v1/database-connections`."""

from fastapi import APIRouter, Request, Response

from tunery.dialects.answers import answer
from tunery.dialects.dataherald.database_connections.mapping import to_core, to_wire
from tunery.dialects.dataherald.database_connections.schemas import DatabaseConnectionRequest
from tunery.dialects.dataherald.errors import DataheraldRoute, service_errors
from tunery.dialects.dataherald.patience import patient
from tunery.dialects.route import caller, services
from tunery.service.text_to_sql.ids import object_id

router = APIRouter(route_class=DataheraldRoute, tags=["database connections"])

_FAILED = "invalid_database_connection"


@router.post("", status_code=201)
@patient
def create(request: Request, body: DatabaseConnectionRequest) -> Response:
    """Connect to a database: it is tried out, and each of its tables gets a description."""
    with service_errors(body, otherwise=_FAILED):
        connection = services(request).text_to_sql.connections.create(
            caller(request), to_core(body)
        )
    return answer(to_wire(connection), status=201)


@router.get("")
def list_connections(request: Request) -> Response:
    """List the project's database connections, oldest first."""
    connections = services(request).text_to_sql.connections.list(caller(request))
    return answer([to_wire(connection) for connection in connections])


@router.put("/{db_connection_id}")
@patient
def replace(request: Request, db_connection_id: str, body: DatabaseConnectionRequest) -> Response:
    """Describe a connection anew; it is tried out first, and its tables are looked at again."""
    with service_errors(body, otherwise=_FAILED):
        connection = services(request).text_to_sql.connections.replace(
            caller(request), object_id(db_connection_id, param="db_connection_id"), to_core(body)
        )
    return answer(to_wire(connection))
