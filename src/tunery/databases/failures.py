"""What databases say when they fail, in their own words and without secrets."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from tunery.core.errors import QueryFailed

_LONGEST = 2000


@contextmanager
def in_its_own_words() -> Iterator[None]:
    """Whatever the database refuses becomes `QueryFailed`.

    The errors that it is made from hold connection parameters, and are let go.
    """
    try:
        yield
    except NoSuchTableError as error:
        raise QueryFailed(f"There is no table {error}.") from None
    except DBAPIError as error:
        raise QueryFailed(_printable(_words(error)[:_LONGEST])) from None
    except SQLAlchemyError as error:
        raise QueryFailed(f"The database cannot be read: {type(error).__name__}.") from None
    except UnicodeError:
        raise QueryFailed("The database gave text that cannot be read.") from None


def _words(error: DBAPIError) -> str:
    said = error.orig
    diagnosis = getattr(said, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    if primary:
        hint = getattr(diagnosis, "message_hint", None)
        return f"{primary}. {hint}" if hint else str(primary)
    lines = str(said).strip().splitlines() or [type(said).__name__]
    # Of libpq's `connection to server at …, port … failed: FATAL:  …` only what the server said.
    return lines[0].rpartition("failed: ")[2].removeprefix("FATAL:").strip()


def _printable(text: str) -> str:
    """`text` without what would steer the terminal that it is shown on."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
