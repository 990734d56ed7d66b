"""Where organisations, projects and keys are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from tunery.core.access import ApiKey, Caller


class KeyStore(Protocol):
    """Organisations, projects and keys."""

    def bootstrap(self, caller: Caller, key: ApiKey) -> bool:
        """Make the first organisation, project, user and key; False where there is one already."""

    def add_project(self, caller: Caller, key: ApiKey) -> None:
        """Make another project with its first key; its organisation and user may be there."""

    def caller(self, digest: bytes) -> Caller | None:
        """Whom a live key speaks for; None where unknown, revoked or expired. A point read."""

    def add_key(self, key: ApiKey) -> ApiKey:
        """Keep `key`, and its service account where that is new; the key as it is listed."""

    def keys(self, project_id: str) -> Sequence[ApiKey]:
        """The project's keys, newest first."""

    def revoke_key(self, project_id: str, key_id: str, at: datetime) -> ApiKey:
        """End a key at once.

        Raises:
            NotFound: the project has no such key.
        """
