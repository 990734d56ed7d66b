"""The unmodified `scale-gp` package, in an environment of its own, against a live server."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[3]
WALK = Path(__file__).parent / "sdk_walk.py"
PYTHON = ROOT / ".venv-scale-gp-0.1.0a62" / "bin" / "python"


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_stock_package_walks_the_whole_surface(live: Server) -> None:
    assert PYTHON.exists(), f"`make setup` makes {PYTHON.parents[1].name}"
    walked = subprocess.run(
        [PYTHON, WALK],
        env={
            "PATH": os.environ["PATH"],
            "SGP_CLIENT_BASE_URL": live.url,
            "SGP_API_KEY": live.key,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert walked.stdout.startswith("scale-gp 0.1.0-alpha.62: ")
