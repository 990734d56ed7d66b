"""Database connections in Dataherald's words, and back."""

from typing import Any

from pydantic import SecretStr

from tunery.core.errors import Unsupported
from tunery.core.text_to_sql import DatabaseConnection
from tunery.dialects.dataherald.database_connections.schemas import (
    DatabaseConnectionRequest,
    DatabaseConnectionResponse,
    FileStorage,
    SshSettings,
)
from tunery.dialects.dataherald.fields import stamped
from tunery.service.text_to_sql.connections import NewConnection
from tunery.service.text_to_sql.secrets import Secret


def to_core(body: DatabaseConnectionRequest) -> NewConnection:
    """The connection that `body` asks for.

    Raises:
        Unsupported: it is to be reached in a way that does not exist here.
    """
    if body.use_ssh:
        raise Unsupported(
            "use_ssh is true, but this server opens no SSH tunnels; open one beside it, and let "
            "connection_uri name its end",
            param="use_ssh",
            code="ssh_unsupported",
        )
    if body.path_to_credentials_file is not None:
        raise Unsupported(
            "path_to_credentials_file names a file, but this server reads none; it connects to "
            "PostgreSQL and SQLite, whose credentials stand in connection_uri",
            param="path_to_credentials_file",
        )
    return NewConnection(
        alias=body.alias,
        uri=Secret(body.connection_uri.get_secret_value().strip()),
        schemas=None if body.schemas is None else tuple(body.schemas),
        metadata=body.metadata,
        echo={
            "llm_api_key": _secret(body.llm_api_key),
            "ssh_settings": _echoed(body.ssh_settings),
            "file_storage": _echoed(body.file_storage),
        },
    )


def to_wire(connection: DatabaseConnection) -> DatabaseConnectionResponse:
    """`connection` as every route answers it."""
    echo: dict[str, Any] = dict(connection.echo)
    return DatabaseConnectionResponse(
        id=connection.id,
        alias=connection.alias,
        dialect=connection.dialect,
        use_ssh=False,
        connection_uri=connection.sealed_uri,
        schemas=connection.schemas,
        path_to_credentials_file=None,
        llm_api_key=echo["llm_api_key"],
        ssh_settings=echo["ssh_settings"],
        file_storage=echo["file_storage"],
        metadata=connection.metadata,
        created_at=stamped(connection.created_at),
    )


def _echoed(settings: SshSettings | FileStorage | None) -> dict[str, Secret | str | None] | None:
    if settings is None:
        return None
    return {
        name: _secret(value) if isinstance(value, SecretStr) else value for name, value in settings
    }


def _secret(value: SecretStr | None) -> Secret | None:
    return None if value is None else Secret(value.get_secret_value())
