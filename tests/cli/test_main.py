"""The command line as a whole."""

import re

import pytest

from tests.cli.conftest import CommandLine
from tunery import __version__


def test_it_knows_its_version(tunery: CommandLine) -> None:
    assert tunery("--version").out == f"tunery {__version__}\n"


def test_help_names_every_command(tunery: CommandLine) -> None:
    shown = tunery("--help").out
    for name in ("serve", "demo", "train", "jobs", "files", "models", "keys"):
        assert re.search(rf"\b{name}\b", shown)


def test_a_mistyped_command_is_bad_input_and_finds_its_neighbour(tunery: CommandLine) -> None:
    ended = tunery("jobs", "lst")
    assert ended.code == 2
    assert "'list'" in ended.err
    assert "tunery jobs -h" in ended.err


def test_nothing_is_coloured_where_it_is_not_wanted(
    tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TUNERY_URL", "http://127.0.0.1:1")
    ended = tunery("jobs", "list")
    assert "\x1b" not in ended.out + ended.err


def test_completion_can_be_had(tunery: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    ended = tunery("--show-completion", "bash")
    assert ended.code == 0
    assert "_TUNERY_COMPLETE" in ended.out
