"""The first start of an empty installation: somebody to own it, and the key to come in by."""

import os
from pathlib import Path

from tunery.core.access import ApiKey, Caller, digest, new_secret
from tunery.core.ids import new_id
from tunery.core.ports import Clock, KeyStore
from tunery.settings import Settings

PROJECT = "default"


class FirstStartRefused(Exception):
    """An empty installation was to be opened to a network without a key of the operator's."""


def first_key(settings: Settings, store: KeyStore, clock: Clock) -> str | None:
    """Make the first organisation, project, user and key of an empty installation.

    A key that is made here is left in `credentials` in the home folder, readable by its owner
    alone.

    Returns:
        The key that was made, to be shown once; None where there is one already, or where the
        operator gave it.

    Raises:
        FirstStartRefused: others than this machine could reach a server whose key a log may hold.
    """
    credentials = settings.home / "credentials"
    pending = credentials.with_suffix(".new")
    if store.keys(PROJECT):
        _finish_earlier(pending, credentials, store)
        return None
    if settings.bootstrap_key is not None:
        store.bootstrap(*_owner(settings.bootstrap_key, clock))
        return None
    if not settings.is_loopback:
        raise FirstStartRefused(
            f"A first start on {settings.host} needs a key of yours: set TUNERY_BOOTSTRAP_KEY to "
            "32 characters or more, or start on 127.0.0.1 first."
        )
    secret = new_secret()
    _write_private(pending, secret)
    if not store.bootstrap(*_owner(secret, clock)):
        # Another server on the same database was first.
        pending.unlink()
        return None
    pending.rename(credentials)
    return secret


def _finish_earlier(pending: Path, credentials: Path, store: KeyStore) -> None:
    """Keep the key of a first start that ended between its last two steps; it opens the store."""
    if pending.exists():
        if store.caller(digest(pending.read_text().strip())) is not None:
            pending.rename(credentials)
        else:
            pending.unlink()


def _owner(secret: str, clock: Clock) -> tuple[Caller, ApiKey]:
    """The first user, and the key that is its own."""
    caller = Caller(
        organization_id="org-default",
        project_id=PROJECT,
        user_id="user-default",
        key_id=new_id("key_"),
    )
    key = ApiKey(
        id=caller.key_id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        name="first key",
        digest=digest(secret),
        hint=secret[-4:],
        created_at=clock.now(),
    )
    return caller, key


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")
