"""Organisations, projects and keys."""

from collections.abc import Sequence
from datetime import datetime

from tunery.core.access import ApiKey, Caller, IdentityType
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
        return Caller(
            organization_id=row[0],
            project_id=row[1],
            user_id=row[2],
            key_id=row[3],
            identity_type=rows.IDENTITY_TYPE[row[4]],
        )

    def add_key(self, key: ApiKey) -> ApiKey:
        """Keep `key`, and its service account where that is new; the key as it is listed."""

        def work(tx: Transaction) -> ApiKey:
            if key.service_account is not None:
                _add_service_account(tx, key, key.service_account)
            tx.run(statements.NEW_KEY, rows.key_values(key))
            return _key(tx, key.project_id, key.id)

        return self._database.write(work)

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
            return _key(tx, project_id, key_id)

        return self._database.write(work)


def _add_project(tx: Transaction, caller: Caller, key: ApiKey) -> None:
    organization = {"id": caller.organization_id}
    if tx.one(statements.ORGANISATION, organization) is None:
        tx.run(statements.NEW_ORGANISATION, organization)
    belonging = {"organization_id": caller.organization_id}
    tx.run(statements.NEW_PROJECT, {"id": caller.project_id, **belonging})
    if tx.one(statements.USER, {"id": caller.user_id}) is None:
        person = {"identity_type": IdentityType.USER.value, "name": None}
        tx.run(statements.NEW_USER, {"id": caller.user_id, **belonging, **person})
    tx.run(statements.NEW_KEY, rows.key_values(key))


def _add_service_account(tx: Transaction, key: ApiKey, name: str) -> None:
    if tx.one(statements.USER, {"id": key.user_id}) is not None:
        return
    belonging = tx.one(statements.ORGANISATION_OF, {"project_id": key.project_id})
    assert belonging is not None  # a caller's project is there
    account = {"identity_type": IdentityType.SERVICE_ACCOUNT.value, "name": name}
    tx.run(statements.NEW_USER, {"id": key.user_id, "organization_id": belonging[0], **account})


def _key(tx: Transaction, project_id: str, key_id: str) -> ApiKey:
    row = tx.one(statements.KEY, {"project_id": project_id, "id": key_id})
    if row is None:
        raise NotFound("key", key_id)
    return rows.key(row)
