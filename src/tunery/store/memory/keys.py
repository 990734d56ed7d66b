"""Organisations, projects and keys."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tunery.core.access import ApiKey, Caller, IdentityType
from tunery.core.errors import NotFound
from tunery.store.memory.state import Part


class MemoryKeys(Part):
    """The `KeyStore` port."""

    def bootstrap(self, caller: Caller, key: ApiKey) -> bool:
        """Make the first organisation, project, user and key; False where there is one already."""
        with self._state.lock:
            if self._state.projects:
                return False
            self.add_project(caller, key)
            return True

    def add_project(self, caller: Caller, key: ApiKey) -> None:
        """Make another project with its first key; its organisation and user may be there."""
        with self._state.lock:
            self._state.projects[caller.project_id] = caller.organization_id
            self._state.keys[key.id] = key

    def caller(self, digest: bytes) -> Caller | None:
        """Whom a live key speaks for; None where unknown, revoked or expired."""
        now = self._clock.now()
        with self._state.lock:
            for key in self._state.keys.values():
                if key.digest == digest and _lives(key, now):
                    return Caller(
                        organization_id=self._state.projects[key.project_id],
                        project_id=key.project_id,
                        user_id=key.user_id,
                        key_id=key.id,
                        identity_type=key.identity_type,
                    )
        return None

    def add_key(self, key: ApiKey) -> ApiKey:
        """Keep `key`, and its service account where that is new; the key as it is listed."""
        with self._state.lock:
            accounts = self._state.service_accounts
            if key.service_account is not None:
                accounts.setdefault(key.user_id, key.service_account)
            account = accounts.get(key.user_id)
            kind = IdentityType.USER if account is None else IdentityType.SERVICE_ACCOUNT
            self._state.keys[key.id] = replace(key, identity_type=kind, service_account=account)
            return self._state.keys[key.id]

    def keys(self, project_id: str) -> Sequence[ApiKey]:
        """The project's keys, newest first."""
        with self._state.lock:
            ours = [key for key in self._state.keys.values() if key.project_id == project_id]
        return ours[::-1]

    def revoke_key(self, project_id: str, key_id: str, at: datetime) -> ApiKey:
        """End a key at once; one that is revoked already stays as it is.

        Raises:
            NotFound: the project has no such key.
        """
        with self._state.lock:
            key = self._state.keys.get(key_id)
            if key is None or key.project_id != project_id:
                raise NotFound("key", key_id)
            revoked = replace(key, revoked_at=key.revoked_at or at)
            self._state.keys[key_id] = revoked
            return revoked


def _lives(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)
