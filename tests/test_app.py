"""The wired application: what it makes, and what it does beside answering."""

import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tunery.app import create_app
from tunery.core.errors import InvalidValue
from tunery.dialects import NOTICES
from tunery.engines.process import LocalEngine
from tunery.settings import Account, Settings
from tunery.wiring import build


def test_a_home_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    build(Settings(home=home), NOTICES).store.close()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_what_a_killed_server_left_goes_while_the_next_one_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalEngine, "start", lambda self: None)
    left = tmp_path / "blobs" / "runs" / "ftjob-1" / "1"
    left.mkdir(parents=True)
    with TestClient(create_app(build(Settings(home=tmp_path), NOTICES))) as client:
        assert client.get("/livez").is_success
        deadline = time.monotonic() + 10
        while left.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"accounts": {"acme": Account(kind="openai")}}, "gives 'acme' the kind 'openai'"),
        ({"routes": {"gpt-*": "acme"}}, "sends 'gpt-*' to 'acme'"),
    ],
)
def test_accounts_and_routes_that_cannot_be_are_named_at_start(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidValue, match=re.escape(words)):
        build(Settings(home=tmp_path, **settings), NOTICES)
