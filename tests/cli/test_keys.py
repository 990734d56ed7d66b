"""`tunery keys`."""

import time

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.fake import FakeServer
from tests.cli.objects import Json, page

KEYS = "/tunery/v1/keys"


def key(**changed: object) -> Json:
    return {
        "id": "key_0123",
        "object": "key",
        "name": "nightly",
        "hint": "9f3c",
        "created_at": 1790000000,
        **changed,
    }


def test_a_key_is_made_and_shown_once(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"POST {KEYS}", key(key="tnr-sk-new"))
    ended = tunery("keys", "create", "nightly")
    assert "tnr-sk-new" in ended.out
    assert "not shown again" in ended.err
    assert server.last(f"POST {KEYS}").json == {"name": "nightly"}


def test_keys_are_listed_by_their_last_characters(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"GET {KEYS}", page(key()))
    assert "…9f3c" in tunery("keys", "list").out


def test_a_key_may_end_by_itself(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"POST {KEYS}", key(key="tnr-sk-new", expires_at=1790086400))
    assert "expires" in tunery("keys", "create", "guest", "--days", "1").out
    sent = server.last(f"POST {KEYS}").json
    assert sent["expires_at"] == pytest.approx(time.time() + 86_400, abs=60)


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, "live"),
        ({"revoked_at": 1790000001}, "revoked"),
        ({"expires_at": 1}, "expired"),
    ],
)
def test_a_list_says_which_keys_work(
    server: FakeServer, tunery: CommandLine, changed: Json, state: str
) -> None:
    server.on(f"GET {KEYS}", page(key(**changed)))
    assert state in tunery("keys", "list").out


def test_a_key_is_revoked(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"DELETE {KEYS}/key_0123", {"id": "key_0123", "deleted": True})
    assert tunery("keys", "revoke", "key_0123", "--json").json["deleted"] is True


def test_a_key_may_speak_for_a_service_account(server: FakeServer, tunery: CommandLine) -> None:
    owner = {"type": "service_account", "id": "service-1", "name": "pipeline"}
    server.on(f"POST {KEYS}", key(key="tnr-sk-new", owner=owner))
    ended = tunery("keys", "create", "nightly", "--service-account", "pipeline")
    assert "pipeline" in ended.out
    assert server.last(f"POST {KEYS}").json == {"name": "nightly", "service_account": "pipeline"}


def test_a_list_says_whom_keys_speak_for(server: FakeServer, tunery: CommandLine) -> None:
    account = {"type": "service_account", "id": "service-1", "name": "pipeline"}
    user = {"type": "user", "id": "user-a", "name": None}
    server.on(f"GET {KEYS}", page(key(owner=account), key(owner=user)))
    shown = tunery("keys", "list").out
    assert "pipeline" in shown
    assert "user-a" in shown
