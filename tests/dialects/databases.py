"""Databases that are only told of, and a sealer that keeps its secrets to itself."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunery.core.errors import InvalidValue, QueryFailed, TuneryError
from tunery.core.text_to_sql import Column, ForeignKey, Rows, ScannedTable

SHOP = "postgresql://reader:s3cret-word@shop.example/shop"
"""Where the scripted databases have one from the start."""
EMPTY = "sqlite:///empty.db"
"""One with no tables."""
AWAY = "postgresql://reader:s3cret-word@away.example/shop"
"""One that is not to be reached."""

CUSTOMERS = ScannedTable(
    table_schema="CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT)",
    columns=(
        Column(name="id", data_type="INTEGER", is_primary_key=True),
        Column(name="name", data_type="TEXT"),
        Column(name="country", data_type="TEXT", low_cardinality=True, categories=("NL", "PT")),
    ),
    examples=({"id": "1", "name": "Ada", "country": "NL"},),
)
ORDERS = ScannedTable(
    table_schema="CREATE TABLE orders (id INTEGER, customer_id INTEGER, total REAL)",
    columns=(
        Column(name="id", data_type="INTEGER", is_primary_key=True),
        Column(
            name="customer_id",
            data_type="INTEGER",
            foreign_key=ForeignKey(field_name="id", reference_table="customers"),
        ),
        Column(name="total", data_type="REAL"),
    ),
    examples=(),
)


@dataclass
class ScriptedDatabase:
    """One database: what it holds, and what it answers."""

    dialect: str = "postgresql"
    tables: dict[tuple[str | None, str], ScannedTable] = field(default_factory=dict)
    results: dict[str, Rows | TuneryError] = field(default_factory=dict)
    """What becomes of each SQL; any other gives one row of one column."""
    failure: TuneryError | None = None
    """What becomes of everything."""
    asked: list[str] = field(default_factory=list)
    """The SQL that was run, in order."""


class ScriptedDatabases:
    """The `Databases` port over what a test has told."""

    def __init__(self) -> None:
        tables: dict[tuple[str | None, str], ScannedTable] = {
            (None, "customers"): CUSTOMERS,
            (None, "orders"): ORDERS,
        }
        self.known = {
            SHOP: ScriptedDatabase(tables=dict(tables)),
            EMPTY: ScriptedDatabase(dialect="sqlite"),
            AWAY: ScriptedDatabase(failure=QueryFailed(f"cannot connect to {AWAY}")),
        }

    @property
    def shop(self) -> ScriptedDatabase:
        """The one behind `SHOP`."""
        return self.known[SHOP]

    def dialect(self, uri: str) -> str:
        return self._database(uri).dialect

    def tables(
        self, uri: str, *, schemas: Sequence[str] | None = None
    ) -> Sequence[tuple[str | None, str]]:
        database = self._reached(uri)
        wanted = [None] if schemas is None else schemas
        return [name for name in database.tables if name[0] in wanted]

    def scan(self, uri: str, *, schema: str | None, table: str) -> ScannedTable:
        found = self._reached(uri).tables.get((schema, table))
        if found is None:
            raise QueryFailed(f"no such table: {table}")
        return found

    def run(self, uri: str, sql: str, *, max_rows: int, timeout_s: float) -> Rows:
        database = self._reached(uri)
        database.asked.append(sql)
        result = database.results.get(sql, Rows(columns=("n",), rows=((1,),)))
        if isinstance(result, TuneryError):
            raise result
        return Rows(
            columns=result.columns,
            rows=result.rows[:max_rows],
            truncated=len(result.rows) > max_rows,
        )

    def _database(self, uri: str) -> ScriptedDatabase:
        found = self.known.get(uri)
        if found is None:
            raise InvalidValue(
                f"{uri} is not a database that is served here", code="invalid_database_uri_format"
            )
        return found

    def _reached(self, uri: str) -> ScriptedDatabase:
        database = self._database(uri)
        if database.failure is not None:
            raise database.failure
        return database


class HidingSealer:
    """The `Sealer` port: what it gives out is a number under which it remembers."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, str]] = {}

    def seal(self, secret: str, *, bound_to: str) -> str:
        sealed = f"sealed:{secrets.token_hex(16)}"
        self._kept[sealed] = (secret, bound_to)
        return sealed

    def open(self, sealed: str, *, bound_to: str) -> str:
        secret, bound = self._kept.get(sealed, ("", ""))
        if bound != bound_to:
            raise InvalidValue("It was not sealed here, or not for this.")
        return secret

    def is_sealed(self, text: str) -> bool:
        return text.startswith("sealed:")
