"""Database connections on the wire."""

from collections.abc import Mapping, Sequence

import msgspec

from tunery.dialects.dataherald.fields import Body, Metadata, Name, Schemas, SecretText


class SshSettings(Body):
    """A host to tunnel through."""

    host: Name | None = None
    username: Name | None = None
    password: SecretText | None = None
    port: Name | None = "22"
    private_key_password: SecretText | None = None


class FileStorage(Body):
    """Where the engine would keep large results."""

    name: Name
    access_key_id: SecretText
    secret_access_key: SecretText
    region: Name | None = None
    bucket: Name


class DatabaseConnectionRequest(Body):
    """A database, as create and replace take it."""

    alias: Name
    use_ssh: bool = False
    connection_uri: SecretText
    schemas: Schemas | None = None
    path_to_credentials_file: Name | None = None
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
