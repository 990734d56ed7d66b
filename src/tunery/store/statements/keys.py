"""Organisations, projects, users and keys."""

from sqlalchemy import literal_column as word
from sqlalchemy import or_, select, update

from tunery.store.statements.columns import KEY_COLUMNS, LISTED_KEY_COLUMNS
from tunery.store.statements.parts import given, new, number, value
from tunery.store.statements.query import Query
from tunery.store.tables import keys, organisations, projects, users

ANY_ORGANISATION = Query(select(organisations.c.id).limit(word("1")))
ORGANISATION_OF = Query(
    select(projects.c.organization_id).where(projects.c.id == value("project_id", projects.c.id))
)
ORGANISATION = Query(select(organisations.c.id).where(given(organisations.c.id)))
USER = Query(select(users.c.id).where(given(users.c.id)))

NEW_ORGANISATION = Query(new(organisations, organisations.c))
NEW_PROJECT = Query(new(projects, projects.c))
NEW_USER = Query(new(users, users.c))
NEW_KEY = Query(new(keys, KEY_COLUMNS))

# The one read that comes before the project is known: the key names it.
CALLER = Query(
    select(
        projects.c.organization_id,
        keys.c.project_id,
        keys.c.user_id,
        keys.c.id,
        users.c.identity_type,
    )
    .join(projects, projects.c.id == keys.c.project_id)
    .join(users, users.c.id == keys.c.user_id)
    .where(given(keys.c.digest), keys.c.revoked_at_us.is_(None))
    .where(or_(keys.c.expires_at_us.is_(None), keys.c.expires_at_us > number("now_us")))
)

_LISTED = (
    select(*LISTED_KEY_COLUMNS)
    .join(users, users.c.id == keys.c.user_id)
    .where(given(keys.c.project_id))
)
KEYS = Query(_LISTED.order_by(keys.c.sequence.desc()))
KEY = Query(_LISTED.where(given(keys.c.id)))
REVOKE_KEY = Query(
    update(keys)
    .where(keys.c.project_id == value("of_project", keys.c.project_id))
    .where(keys.c.id == value("key_id", keys.c.id), keys.c.revoked_at_us.is_(None))
    .values(revoked_at_us=number("at_us"))
)
