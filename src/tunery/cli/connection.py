"""Which server a command talks to, and with which key."""

import os
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from tunery.cli.client import Client, is_loopback
from tunery.cli.failure import ExitCode, Failure
from tunery.listening import url
from tunery.settings import Settings

_ANY_ADDRESS = frozenset({"0.0.0.0", "::"})


def connect() -> Client:
    """The server that `TUNERY_URL` names, else the one of this machine's settings."""
    settings = read_settings()
    url = os.environ.get("TUNERY_URL") or own_url(settings)
    return Client(url, os.environ.get("TUNERY_API_KEY") or _own_key(settings.home, url))


def read_settings(**chosen: object) -> Settings:
    """The settings of this machine; what is `chosen` (and not None) comes first.

    Raises:
        Failure: one of them cannot be.
    """
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    try:
        return Settings(**given)
    except (ValidationError, TOMLDecodeError, SettingsError) as error:
        raise Failure(
            f"The settings cannot be used: {_faults(error)}.",
            next_step="Mend the TUNERY_… variable, the switch or the line in tunery.toml.",
            code=ExitCode.BAD_INPUT,
        ) from error


def _faults(error: ValidationError | TOMLDecodeError | SettingsError) -> str:
    if isinstance(error, TOMLDecodeError):
        return f"tunery.toml: {error}"
    if isinstance(error, SettingsError):
        # A table in a variable. What it holds is not repeated: some of it may be secret.
        return f"{error}, which is to be JSON: {error.__cause__}"
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
    )


def own_url(settings: Settings) -> str:
    """Where the server of these settings is reached from this machine."""
    host = "127.0.0.1" if settings.host in _ANY_ADDRESS else settings.host
    return url(host, settings.port)


def credentials(home: Path) -> Path:
    """The file in which first start leaves its key, readable by its owner alone."""
    return home / "credentials"


def stored_key(home: Path) -> str | None:
    """The key that first start left; None where there is none yet."""
    path = credentials(home)
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def _own_key(home: Path, url: str) -> str | None:
    # The key of this machine's server is no other machine's business.
    return stored_key(home) if is_loopback(url) else None
