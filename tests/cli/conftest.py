"""A command line whose every word is kept, and a server for it to talk to."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.fake import FakeServer, serving
from tunery.cli.__main__ import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401
        return orjson.loads(self.out)


class CommandLine:
    """Runs `tunery` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._patch = patch

    def __call__(self, *arguments: str) -> Ended:
        self._patch.setattr("sys.argv", ["tunery", *arguments])
        self._capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capsys.readouterr()
        return Ended(code, out, err)


@pytest.fixture
def tunery(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CommandLine:
    """The command line over a home folder of its own."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNERY_URL", raising=False)
    monkeypatch.delenv("TUNERY_API_KEY", raising=False)
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tunery: CommandLine) -> Iterator[FakeServer]:
    """A server of canned answers, which `TUNERY_URL` names."""
    fake = FakeServer()
    listening = serving(fake)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("TUNERY_URL", fake.url)
    monkeypatch.setenv("TUNERY_API_KEY", "tnr-sk-test")
    yield fake
    listening.shutdown()
    thread.join()
    listening.server_close()
