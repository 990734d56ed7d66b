"""A server of one command's own, apart from what it answers."""

import socket
import stat
from pathlib import Path

import pytest

from tunery.cli import local_server
from tunery.settings import Settings


def test_a_home_that_is_made_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(settings: Settings, log: Path) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(local_server, "_start", refuse)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path / "home"
    with (
        pytest.raises(OSError, match="no more processes"),
        local_server.local_server(Settings(home=home, port=port)),
    ):
        pass
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
