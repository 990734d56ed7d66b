"""Organisations, projects and keys, in every store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.store.conftest import Stage
from tests.store.values import OURS, START, THEIRS, a_key, first_key
from tunery.core.access import Caller, IdentityType
from tunery.core.errors import NotFound
from tunery.core.ports import Store


def test_only_an_empty_store_is_bootstrapped(store: Store) -> None:
    other = Caller(organization_id="org-b", project_id="p", user_id="u", key_id="key_b")
    assert not store.bootstrap(other, first_key(other))
    assert store.caller(first_key(other).digest) is None


def test_a_key_says_whom_it_speaks_for(store: Store) -> None:
    assert store.caller(first_key(OURS).digest) == OURS
    assert store.caller(first_key(THEIRS).digest) == THEIRS
    assert store.caller(b"unknown") is None


def test_a_revoked_key_opens_nothing(store: Store) -> None:
    key = a_key()
    store.add_key(key)
    assert store.caller(key.digest) is not None
    revoked = store.revoke_key("ours", key.id, START)
    assert revoked.revoked_at == START
    assert store.caller(key.digest) is None


def test_revoking_twice_keeps_the_first_time(store: Store) -> None:
    key = a_key()
    store.add_key(key)
    store.revoke_key("ours", key.id, START)
    again = store.revoke_key("ours", key.id, START + timedelta(days=1))
    assert again.revoked_at == START


def test_an_expired_key_opens_nothing(stage: Stage) -> None:
    key = a_key(expires_at=START + timedelta(seconds=10))
    stage.store.add_key(key)
    stage.advance(9)
    assert stage.store.caller(key.digest) is not None
    stage.advance(1)
    assert stage.store.caller(key.digest) is None


def test_keys_are_listed_newest_first_as_they_were_kept(store: Store) -> None:
    keys = [a_key(), a_key(expires_at=START + timedelta(days=1))]
    for key in keys:
        store.add_key(key)
    assert list(store.keys("ours")) == [keys[1], keys[0], first_key(OURS)]


def test_another_projects_key_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(NotFound, match=THEIRS.key_id):
        store.revoke_key("ours", THEIRS.key_id, START)
    assert store.caller(first_key(THEIRS).digest) == THEIRS


def test_a_service_accounts_key_says_so(store: Store) -> None:
    key = replace(a_key(), user_id="service-1", service_account="nightly ☃")
    listed = store.add_key(key)
    assert listed == replace(key, identity_type=IdentityType.SERVICE_ACCOUNT)
    assert store.keys("ours")[0] == listed
    assert store.caller(key.digest) == Caller(
        organization_id=OURS.organization_id,
        project_id=OURS.project_id,
        user_id="service-1",
        key_id=key.id,
        identity_type=IdentityType.SERVICE_ACCOUNT,
    )
    assert store.revoke_key("ours", key.id, START) == replace(listed, revoked_at=START)


def test_a_service_account_may_have_many_keys(store: Store) -> None:
    first, second, third = (replace(a_key(), user_id="service-1") for _ in range(3))
    store.add_key(replace(first, service_account="nightly"))
    store.add_key(replace(second, service_account="nightly"))
    # As a service account makes it: the store knows whose it is.
    listed = store.add_key(third)
    assert listed.service_account == "nightly"
    assert [key.service_account for key in store.keys("ours")] == ["nightly"] * 3 + [None]
    caller = store.caller(third.digest)
    assert caller is not None
    assert caller.identity_type is IdentityType.SERVICE_ACCOUNT


def test_a_users_key_is_kept_as_it_was_given(store: Store) -> None:
    key = a_key()
    assert store.add_key(key) == key
