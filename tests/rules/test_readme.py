"""What README and docs tell people to type is there to be typed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from tests.servers import Server
from tunery.cli.__main__ import app
from tunery.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A piece of code in a page."""

    page: Path
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.code.splitlines()[0]}"


def blocks(*languages: str) -> list[Block]:
    return [
        Block(page, language, re.sub(f"^{indent}", "", code, flags=re.MULTILINE))
        for page in PAGES
        for indent, language, code in _FENCE.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]


def commands() -> Iterator[tuple[Block, list[str]]]:
    """Every line of every shell block, in words."""
    for block in blocks("sh"):
        for line in block.code.splitlines():
            if words := shlex.split(line, comments=True):
                yield block, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_shell_block_is_marked_as_one() -> None:
    assert [str(block) for block in blocks("bash", "shell", "console", "")] == []


def test_every_tunery_command_and_its_switches_exist() -> None:
    found = [words for _, words in commands() if words[0] == "tunery"]
    assert len(found) > 10
    for words in found:
        _check(get_command(app), words[1:])


def _check(command: Any, words: list[str]) -> None:  # noqa: ANN401
    """`words` are what `command` takes: parsed by it, and not run."""
    if isinstance(command, TyperGroup):
        assert words[0] in command.commands, words
        return _check(command.commands[words[0]], words[1:])
    # Names of files stand for files that a reader has.
    words = ["README.md" if word.endswith(".jsonl") else word for word in words]
    command.make_context(command.name, words)
    return None


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for _, words in commands():
        if words[0] == "make":
            assert re.search(f"^{words[1]}:", makefile, re.MULTILINE), words


def test_every_script_that_is_run_exists() -> None:
    run = [words[1] for _, words in commands() if words[0] == "python" and words[1] != "-m"]
    assert "examples/bfl.py" in run
    assert [script for script in run if not (ROOT / script).is_file()] == []


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {f"TUNERY_{name}".upper() for name in Settings.model_fields}
    known |= {"TUNERY_URL", "TUNERY_API_KEY"}
    for page in PAGES:
        named = set(re.findall(r"TUNERY_[A-Z_]+", page.read_text(encoding="utf-8")))
        assert named <= known, page


def test_every_python_block_compiles() -> None:
    found = blocks("python")
    assert found
    for block in found:
        compile(block.code, str(block), "exec")


@pytest.mark.e2e
@pytest.mark.parametrize("block", [b for b in blocks("python") if "OpenAI()" in b.code], ids=str)
def test_python_that_asks_the_server_runs_as_printed(
    block: Block, live: Server, tmp_path: Path
) -> None:
    data = ROOT / "src" / "tunery" / "cli" / "demo_data" / "validation.jsonl"
    shutil.copy(data, tmp_path / "support.jsonl")
    (tmp_path / "preferences.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "input": {"messages": [{"role": "user", "content": f"Where is parcel {n}?"}]},
                    "preferred_output": [{"role": "assistant", "content": "In Lyon."}],
                    "non_preferred_output": [{"role": "assistant", "content": "Anywhere."}],
                }
            )
            + "\n"
            for n in range(12)
        )
    )
    ended = _python(["-c", block.code], live, tmp_path)
    assert ended.stdout.strip()


@pytest.mark.e2e
def test_the_example_trains_and_chats(live: Server, tmp_path: Path) -> None:
    data = ROOT / "src" / "tunery" / "cli" / "demo_data" / "train.jsonl"
    script = ROOT / "examples" / "train_and_chat.py"
    ended = _python([str(script), str(data), "--epochs", "1"], live, tmp_path)
    assert "is succeeded" in ended.stdout


def _python(
    arguments: list[str], server: Server, folder: Path
) -> "subprocess.CompletedProcess[str]":
    """Python as a reader of the page would run it: the stock client, and two variables."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": server.key,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended
