"""Database connections on the wire."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from pydantic import Field

from tunery.dialects.dataherald.fields import Body, Metadata, SecretText
from tunery.dialects.fields import STORABLE, Text

MOST_SCHEMAS = 100


class SshSettings(Body):
    """A host to tunnel through."""

    host: Text | None = None
    username: Text | None = None
    password: SecretText | None = None
    port: Text | None = "22"
    private_key_password: SecretText | None = None


class FileStorage(Body):
    """Where the engine would keep large results."""

    name: Text
    access_key_id: SecretText
    secret_access_key: SecretText
    region: Text | None = None
    bucket: Text


class DatabaseConnectionRequest(Body):
    """A database, as create and replace take it."""

    alias: Annotated[str, Field(max_length=512), STORABLE]
    use_ssh: bool = False
    connection_uri: SecretText
    schemas: Annotated[list[Text], Field(max_length=MOST_SCHEMAS)] | None = None
    path_to_credentials_file: Text | None = None
    llm_api_key: SecretText | None = None
    ssh_settings: SshSettings | None = None
    file_storage: FileStorage | None = None
    metadata: Metadata | None = None


class DatabaseConnectionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A database connection; what is secret in it is encrypted."""

    id: str
    alias: str
    dialect: str
    use_ssh: bool
    connection_uri: str
    schemas: Sequence[str] | None
    path_to_credentials_file: str | None
    llm_api_key: str | None
    ssh_settings: Mapping[str, str | None] | None
    file_storage: Mapping[str, str | None] | None
    metadata: Mapping[str, object] | None
    created_at: str
