"""Keys: a secret is known once, and only its digest is kept."""

from datetime import timedelta

import pytest

from tests.store.values import OURS, THEIRS, MovableClock, first_key
from tunery.core.access import Caller, IdentityType, digest
from tunery.core.errors import InvalidValue, NotFound, Unauthenticated
from tunery.service.keys import Keys
from tunery.store.memory import MemoryStore


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def keys(clock: MovableClock) -> Keys:
    store = MemoryStore(clock)
    store.bootstrap(OURS, first_key(OURS))
    store.add_project(THEIRS, first_key(THEIRS))
    return Keys(store, clock)


def test_a_new_key_speaks_for_the_project_of_its_maker(keys: Keys) -> None:
    made = keys.create(OURS, name="nightly")
    caller = keys.caller(made.secret)
    assert (caller.project_id, caller.user_id) == (OURS.project_id, OURS.user_id)
    assert caller.key_id == made.key.id
    assert made.key.digest == digest(made.secret)
    assert made.secret.startswith("tnr-sk-")
    assert len({keys.create(OURS, name="n").secret for _ in range(10)}) == 10


def test_a_wrong_secret_is_not_repeated_in_full(keys: Keys) -> None:
    wrong = "tnr-sk-" + "abcdefgh" * 5
    with pytest.raises(Unauthenticated) as refused:
        keys.caller(wrong)
    assert wrong not in refused.value.message
    assert "tnr-sk-...efgh" in refused.value.message


def test_a_revoked_or_expired_key_opens_nothing(keys: Keys, clock: MovableClock) -> None:
    revoked = keys.create(OURS, name="a")
    keys.revoke(OURS, revoked.key.id)
    short = keys.create(OURS, name="b", expires_at=clock.now() + timedelta(seconds=5))
    assert keys.caller(short.secret)
    clock.advance(6)
    for made in (revoked, short):
        with pytest.raises(Unauthenticated):
            keys.caller(made.secret)


def test_what_no_key_can_be_is_refused(keys: Keys, clock: MovableClock) -> None:
    for name in ("", "x" * 129):
        with pytest.raises(InvalidValue):
            keys.create(OURS, name=name)
    with pytest.raises(InvalidValue, match="past"):
        keys.create(OURS, name="x", expires_at=clock.now())
    with pytest.raises(InvalidValue, match="this very request"):
        keys.revoke(OURS, OURS.key_id)
    with pytest.raises(NotFound):
        keys.revoke(OURS, "key_nope")


def test_a_key_can_speak_for_a_service_account_of_the_project(keys: Keys) -> None:
    made = keys.create(OURS, name="nightly", service_account="pipeline")
    assert (made.key.service_account, made.key.identity_type) == (
        "pipeline",
        IdentityType.SERVICE_ACCOUNT,
    )
    caller = keys.caller(made.secret)
    assert (caller.project_id, caller.organization_id) == (OURS.project_id, OURS.organization_id)
    assert caller.identity_type is IdentityType.SERVICE_ACCOUNT
    assert caller.user_id == made.key.user_id != OURS.user_id


def test_the_same_name_is_the_same_account_within_a_project(keys: Keys) -> None:
    def account(caller: Caller, name: str) -> str:
        return keys.create(caller, name="k", service_account=name).key.user_id

    assert account(OURS, "pipeline") == account(OURS, "pipeline")
    others = {account(OURS, "pipeline"), account(OURS, "pipeline 2"), account(THEIRS, "pipeline")}
    assert len(others) == 3


def test_a_service_account_makes_keys_for_itself(keys: Keys) -> None:
    account = keys.caller(keys.create(OURS, name="first", service_account="pipeline").secret)
    made = keys.create(account, name="second")
    assert (made.key.user_id, made.key.service_account) == (account.user_id, "pipeline")
    assert keys.caller(made.secret).identity_type is IdentityType.SERVICE_ACCOUNT


@pytest.mark.parametrize("name", ["", "x" * 129, " nightly", "nightly ", "a\nb", "a\0b"])
def test_what_no_service_account_can_be_called_is_refused(keys: Keys, name: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        keys.create(OURS, name="nightly", service_account=name)
    assert refused.value.param == "service_account"
    assert len(keys.list(OURS)) == 1
