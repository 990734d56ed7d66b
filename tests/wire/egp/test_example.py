"""The example of the how-to page, run by the stock package as a reader would run it."""

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.servers import Server
from tests.wire.egp.test_sdk import PYTHON, ROOT

ROWS = ROOT / "src" / "tunery" / "cli" / "demo_data" / "train.jsonl"
PAGE = ROOT / "docs" / "how-to" / "scale.md"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Rows of the demo as a file of questions and answers."""
    path = tmp_path / "questions.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["input", "output"])
        for line in ROWS.read_text().splitlines():
            *asked, answer = json.loads(line)["messages"]
            writer.writerow([asked[-1]["content"], answer["content"]])
    return path


def run(server: Server, folder: Path, *arguments: str) -> str:
    """What Python with the stock package prints."""
    ended = subprocess.run(
        [PYTHON, *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "SGP_CLIENT_BASE_URL": server.url,
            "SGP_API_KEY": server.key,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.e2e
def test_the_example_trains_and_asks(live: Server, questions: Path) -> None:
    example = str(ROOT / "examples" / "scale.py")
    printed = run(live, questions.parent, example, str(questions), "--epochs", "1")
    assert "is COMPLETED" in printed
    with questions.open(newline="") as file:
        first = next(csv.DictReader(file))
    assert first["input"] in printed


@pytest.mark.e2e
def test_the_pages_python_runs_as_printed(live: Server, questions: Path) -> None:
    blocks = PAGE.read_text(encoding="utf-8").split("```python\n")[1:]
    assert blocks
    for block in blocks:
        code = "\n".join(line.removeprefix("   ") for line in block.split("```")[0].splitlines())
        assert run(live, questions.parent, "-c", code).strip()
