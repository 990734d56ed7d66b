"""Unmodified `openai` packages, each in its own environment, against a live server."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.servers import Server

VERSIONS = ("1.109.1", "2.54.0", "3.52.0")
ROOT = Path(__file__).parents[3]
WALK = Path(__file__).parent / "sdk_walk.py"


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_stock_package_walks_the_whole_surface(live: Server, version: str) -> None:
    python = ROOT / f".venv-openai-{version}" / "bin" / "python"
    assert python.exists(), f"`make setup` makes {python.parents[1].name}"
    walked = subprocess.run(
        [python, WALK],
        env={
            "PATH": os.environ["PATH"],
            "OPENAI_BASE_URL": f"{live.url}/v1",
            "OPENAI_API_KEY": live.key,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert walked.stdout.startswith(f"openai {version}: ")
