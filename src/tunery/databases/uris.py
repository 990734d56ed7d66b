"""Connection URIs: which are served, and what may stand in them.

No message of here shows the URI: there is a password in it.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue
from tunery.databases.postgresql import postgres_source
from tunery.databases.source import Source
from tunery.databases.sqlite import sqlite_source

_LONGEST = 4096
_FORM = re.compile(r"([A-Za-z][\w.+-]*)://\S*", re.ASCII)
_POSTGRESQL = "postgresql"
_SQLITE = "sqlite"
_KINDS: Mapping[str, str] = {
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "postgresql+psycopg": _POSTGRESQL,
    "postgresql+psycopg2": _POSTGRESQL,
    "postgres+psycopg2": _POSTGRESQL,
    "sqlite": _SQLITE,
    "sqlite+pysqlite": _SQLITE,
}
"""By what stands before `://`; the spellings are those of SQLAlchemy, past and present."""


def source(uri: str, *, addresses: Addresses, sqlite_folder: Path | None) -> Source:
    """The database that `uri` names.

    Raises:
        InvalidValue: it is no URI, of a kind that is not served, or lies where this server may not
            look.
    """
    builders: Mapping[str, Callable[[URL], Source]] = {
        _POSTGRESQL: lambda url: postgres_source(url, addresses),
        _SQLITE: lambda url: sqlite_source(url, sqlite_folder),
    }
    return builders[_kind(uri)](_parsed(uri))


def _kind(uri: str) -> str:
    form = _FORM.fullmatch(uri) if len(uri) <= _LONGEST else None
    if form is None:
        raise _no_uri()
    if form[1].lower() not in _KINDS:
        raise InvalidValue(
            f"Databases of the kind {form[1]!r} are not served here; postgresql and sqlite are.",
            param="connection_uri",
            code="unsupported_database",
        )
    return _KINDS[form[1].lower()]


def _parsed(uri: str) -> URL:
    try:
        return make_url(uri)
    except (ArgumentError, ValueError):
        raise _no_uri() from None


def _no_uri() -> InvalidValue:
    return InvalidValue(
        "The connection URI is not of the form dialect://user:password@host:port/database, in at "
        f"most {_LONGEST} characters and without white space; what is special in user and password "
        "is percent-encoded.",
        param="connection_uri",
        code="invalid_database_uri_format",
    )
