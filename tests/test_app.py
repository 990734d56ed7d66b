"""The wired application: what it makes, and what it does beside answering."""

import os
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
from tunery.first_start import first_key
from tunery.settings import Account, Settings
from tunery.wiring import build
from tunery.wiring.ground import SystemClock


def test_a_home_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    build(Settings(home=home), NOTICES).store.close()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_what_a_killed_server_left_goes_while_the_next_one_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalEngine, "start", lambda self: None)
    of_job = tmp_path / "blobs" / "runs" / "ftjob-1" / "1"
    of_image = tmp_path / "blobs" / "image-generations" / "1"
    for left in (of_job, of_image):
        left.mkdir(parents=True)
    os.utime(of_image, (0, 0))
    with TestClient(create_app(build(Settings(home=tmp_path), NOTICES))) as client:
        assert client.get("/livez").is_success
        deadline = time.monotonic() + 10
        while of_job.exists() or of_image.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "n_bytes", "is_read"),
    [
        ("/v1/fine_tuning/jobs", 900, True),
        ("/v1/fine_tuning/jobs", 1_100, False),
        ("/v1/flux-pro-finetuned", 1_100, False),
        ("/v1/finetune", 14_000, True),
        ("/v1/finetune", 15_000, False),
        ("/v1/flux-pro-1.0-fill-finetuned", 14_000, True),
    ],
)
def test_only_bodies_with_images_in_them_may_be_as_large_as_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, n_bytes: int, is_read: bool
) -> None:
    monkeypatch.setattr(LocalEngine, "start", lambda self: None)
    settings = Settings(home=tmp_path, max_body_bytes=1_000, max_images_bytes=10_000)
    wired = build(settings, NOTICES)
    key = first_key(settings, wired.store, SystemClock())
    with TestClient(create_app(wired)) as client:
        answered = client.post(
            path,
            content=b"[" + b" " * (n_bytes - 2) + b"]",
            headers={"authorization": f"Bearer {key}", "x-key": str(key)},
        )

    assert answered.status_code in ((400, 422) if is_read else (413,)), answered.text


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
