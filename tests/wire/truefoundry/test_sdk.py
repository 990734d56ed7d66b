"""Unmodified `openai` packages, set up as for the gateway, against a live server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Server
from tests.wire.openai.test_sdk import ROOT, VERSIONS

WALK = Path(__file__).parent / "sdk_walk.py"


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_stock_package_walks_through_the_gateways_door(live: Server, version: str) -> None:
    python = ROOT / f".venv-openai-{version}" / "bin" / "python"
    assert python.exists(), f"`make setup` makes {python.parents[1].name}"
    walked = subprocess.run(
        [python, WALK],
        env={"PATH": os.environ["PATH"], "OPENAI_BASE_URL": live.url, "OPENAI_API_KEY": live.key},
        capture_output=True,
        text=True,
        check=False,
    )
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert walked.stdout.startswith(f"openai {version}: ")


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_example_trains_and_chats_through_an_account(live: Server) -> None:
    data = ROOT / "src" / "tunery" / "cli" / "demo_data" / "train.jsonl"
    ended = subprocess.run(
        [sys.executable, ROOT / "examples" / "truefoundry.py", data, "--epochs", "1"],
        env={**os.environ, "OPENAI_BASE_URL": live.url, "OPENAI_API_KEY": live.key},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    made, done, *_, answer = ended.stdout.splitlines()
    assert made.endswith("is queued, on tiny-chat")
    assert done.endswith("is succeeded, with {'team': 'support', 'stage': 'example'}")
    assert answer.strip()
