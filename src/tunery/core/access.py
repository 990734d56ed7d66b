"""Who may call: organisations, projects, and keys."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

KEY_PREFIX = "tnr-sk-"


class IdentityType(StrEnum):
    """Who stands behind a key."""

    USER = "user"
    SERVICE_ACCOUNT = "service_account"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whom a key speaks for. The key decides: it belongs to one project and one user."""

    organization_id: str
    project_id: str
    user_id: str
    """Of a person or of a service account, as `identity_type` says."""
    key_id: str
    identity_type: IdentityType = IdentityType.USER


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it is kept: never the key itself, only its digest and its last characters."""

    id: str
    """`key_` and 24 hexadecimal digits."""
    project_id: str
    user_id: str
    name: str
    digest: bytes
    """sha256 of the key."""
    hint: str
    """The last four characters, by which its owner knows it again."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    identity_type: IdentityType = IdentityType.USER
    service_account: str | None = None
    """The name of the service account that it speaks for; None where it is a user's."""


def new_secret() -> str:
    """A key of 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """sha256 of `secret`; a 256-bit random key needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).digest()
