"""Keys: whom a secret speaks for, and the making and ending of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tunery.core.access import ApiKey, Caller, IdentityType, digest, new_secret
from tunery.core.errors import InvalidValue, Unauthenticated
from tunery.core.ids import new_id
from tunery.core.ports import Clock, KeyStore

LONGEST_NAME = 128
_HINT = 4


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key at the one moment when its secret is known."""

    key: ApiKey
    secret: str


class Keys:
    """The use cases of keys. A key sees and makes keys of its own project."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        """`store` keeps digests, never secrets."""
        self._store = store
        self._clock = clock

    def caller(self, secret: str) -> Caller:
        """Whom `secret` speaks for.

        Raises:
            Unauthenticated: it is unknown, revoked or expired.
        """
        known = self._store.caller(digest(secret))
        if known is None:
            raise Unauthenticated(f"Incorrect API key provided: {_masked(secret)}.")
        return known

    def create(
        self,
        caller: Caller,
        *,
        name: str,
        expires_at: datetime | None = None,
        service_account: str | None = None,
    ) -> NewKey:
        """A new key for the caller's project; its secret is shown this once.

        It speaks for the caller, or for the project's service account of that name, which comes
        into being with its first key.

        Raises:
            InvalidValue: a name cannot be one, or the key would have expired already.
        """
        _check_length(name, "name")
        if service_account is not None:
            _check_account(service_account)
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidValue("expires_at lies in the past", param="expires_at")
        secret = new_secret()
        key = ApiKey(
            id=new_id("key_"),
            project_id=caller.project_id,
            user_id=caller.user_id
            if service_account is None
            else _account_id(caller.project_id, service_account),
            name=name,
            digest=digest(secret),
            hint=secret[-_HINT:],
            created_at=now,
            expires_at=expires_at,
            identity_type=caller.identity_type
            if service_account is None
            else IdentityType.SERVICE_ACCOUNT,
            service_account=service_account,
        )
        return NewKey(key=self._store.add_key(key), secret=secret)

    def list(self, caller: Caller) -> Sequence[ApiKey]:
        """The project's keys, newest first."""
        return self._store.keys(caller.project_id)

    def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """End a key at once.

        Raises:
            InvalidValue: it is the key that asks, which could lock its owner out.
            NotFound: the project has no such key.
        """
        if key_id == caller.key_id:
            raise InvalidValue(
                f"{key_id} is the key of this very request; revoke it with another one",
                param="key_id",
            )
        return self._store.revoke_key(caller.project_id, key_id, self._clock.now())


def _check_account(name: str) -> None:
    _check_length(name, "service_account")
    if not name.isprintable() or name != name.strip():
        raise InvalidValue(
            f"service_account is {name!r}; send a name without control characters and without "
            "spaces at its ends",
            param="service_account",
        )


def _check_length(name: str, param: str) -> None:
    if not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidValue(
            f"{param} has {len(name)} characters; it must have 1 to {LONGEST_NAME}", param=param
        )


def _account_id(project_id: str, name: str) -> str:
    """The same for the same name in the same project, so that two calls at once agree."""
    digits = hashlib.sha256(f"{len(project_id)}:{project_id}{name}".encode()).hexdigest()
    return f"service-{digits[:24]}"


def _masked(secret: str) -> str:
    """Enough of a wrong key for its owner to know it by, and no more."""
    return f"{secret[:7]}...{secret[-_HINT:]}" if len(secret) >= 20 else "..."
