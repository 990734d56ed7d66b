"""The schemas of a database that a request is about."""

from collections.abc import Collection, Sequence

from tunery.core.errors import InvalidValue
from tunery.core.text_to_sql import DatabaseConnection


def check_schemas(schemas: Collection[str] | None, connection: DatabaseConnection) -> None:
    """Refuse schemas that `connection` was not made with.

    Raises:
        InvalidValue: it has none of that name, or none at all.
    """
    if not schemas:
        return
    if connection.schemas is None:
        raise InvalidValue(
            f"Connection {connection.id} was made without schemas, so none can be chosen; leave "
            "schemas out",
            param="schemas",
            code="schema_not_supported",
        )
    for schema in schemas:
        if schema not in connection.schemas:
            raise InvalidValue(
                f"Schema {schema!r} is none of connection {connection.id}; it has "
                f"{', '.join(connection.schemas)}",
                param="schemas",
                code="schema_not_supported",
            )


def is_in_one_of(table: str, schemas: Sequence[str]) -> bool:
    """Whether `table`, as SQL names it, stands in one of `schemas`."""
    parts = table.lower().split(".")
    return len(parts) > 1 and parts[-2] in {schema.lower() for schema in schemas}
