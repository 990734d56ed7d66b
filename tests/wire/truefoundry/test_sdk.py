"""Unmodified `openai` packages, set up as for the gateway, against a live server."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.servers import Server
from tests.wire.openai.test_sdk import ROOT, VERSIONS

WALK = Path(__file__).parent / "sdk_walk.py"
PAGE = ROOT / "docs" / "how-to" / "truefoundry.md"
DATA = ROOT / "src" / "tunery" / "cli" / "demo_data" / "train.jsonl"


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
    ended = subprocess.run(
        [sys.executable, ROOT / "examples" / "truefoundry.py", DATA, "--epochs", "1"],
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


def printed(language: str) -> str:
    """The page's one block in `language`."""
    (block,) = PAGE.read_text(encoding="utf-8").split(f"```{language}\n")[1:]
    return textwrap.dedent(block.split("```")[0])


@pytest.mark.e2e
def test_the_pages_settings_and_python_work_as_printed(own_server: Server, tmp_path: Path) -> None:
    own_server.home.mkdir()
    (own_server.home / "tunery.toml").write_text(printed("toml"))
    own_server.start()
    (tmp_path / "support.jsonl").write_bytes(DATA.read_bytes())
    ended = subprocess.run(
        [sys.executable, "-c", printed("python")],
        cwd=tmp_path,
        env={**os.environ, "OPENAI_BASE_URL": own_server.url, "OPENAI_API_KEY": own_server.key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("ftjob-")
    assert ended.stdout.rstrip().endswith(" queued {'team': 'support'}")
