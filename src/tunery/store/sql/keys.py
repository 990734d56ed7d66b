"""Organisations, projects and keys."""

from collections.abc import Sequence
from datetime import datetime

from tunery.core.access import ApiKey, Caller
from tunery.core.errors import NotFound
from tunery.store.sql import rows
from tunery.store.sql.database import Part, Transaction
from tunery.store.statements import keys as statements
from tunery.store.times import to_us


class SqlKeys(Part):
    """The `KeyStore` port."""

    def bootstrap(self, caller: Caller, key: ApiKey) -> bool:
        """Make the first organisation, project, user and key; False where there is one already."""

        def work(tx: Transaction) -> bool:
            if tx.one(statements.ANY_ORGANISATION, {}) is not None:
                return False
            _add_project(tx, caller, key)
            return True

        return self._database.write(work)

    def add_project(self, caller: Caller, key: ApiKey) -> None:
        """Make another project with its first key; its organisation and user may be there."""
        self._database.write(lambda tx: _add_project(tx, caller, key))

    def caller(self, digest: bytes) -> Caller | None:
        """Whom a live key speaks for; None where unknown, revoked or expired. A point read."""
        row = self._database.one(statements.CALLER, {"digest": digest, "now_us": self._now_us()})
        if row is None:
            return None
        return Caller(organization_id=row[0], project_id=row[1], user_id=row[2], key_id=row[3])

    def add_key(self, key: ApiKey) -> None:
        """Keep `key`."""
        self._database.write(lambda tx: tx.run(statements.NEW_KEY, rows.key_values(key)))

    def keys(self, project_id: str) -> Sequence[ApiKey]:
        """The project's keys, newest first."""
        found = self._database.all(statements.KEYS, {"project_id": project_id})
        return [rows.key(row) for row in found]

    def revoke_key(self, project_id: str, key_id: str, at: datetime) -> ApiKey:
        """End a key at once; one that is revoked already stays as it is.

        Raises:
            NotFound: the project has no such key.
        """

        def work(tx: Transaction) -> ApiKey:
            tx.run(
                statements.REVOKE_KEY,
                {"of_project": project_id, "key_id": key_id, "at_us": to_us(at)},
            )
            row = tx.one(statements.KEY, {"project_id": project_id, "id": key_id})
            if row is None:
                raise NotFound("key", key_id)
            return rows.key(row)

        return self._database.write(work)


def _add_project(tx: Transaction, caller: Caller, key: ApiKey) -> None:
    organization = {"id": caller.organization_id}
    if tx.one(statements.ORGANISATION, organization) is None:
        tx.run(statements.NEW_ORGANISATION, organization)
    belonging = {"organization_id": caller.organization_id}
    tx.run(statements.NEW_PROJECT, {"id": caller.project_id, **belonging})
    if tx.one(statements.USER, {"id": caller.user_id}) is None:
        tx.run(statements.NEW_USER, {"id": caller.user_id, **belonging})
    tx.run(statements.NEW_KEY, rows.key_values(key))
