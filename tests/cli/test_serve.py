"""`tunery serve`, where it cannot serve; that it can is what every live test shows."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def serve(home: Path, *switches: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TUNERY_")}
    return subprocess.run(
        [sys.executable, "-m", "tunery.cli", "serve", "--home", str(home), *switches],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_said_before_anything_else_starts(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = serve(home, "--port", str(port))
    assert ended.returncode == 2
    assert f"Port {port}" in ended.stderr
    assert f"tunery serve --port {port + 1}" in ended.stderr
    assert not home.exists()


def test_a_first_start_for_all_the_world_wants_a_key(tmp_path: Path) -> None:
    ended = serve(tmp_path / "home", "--host", "0.0.0.0", "--port", "0")
    assert ended.returncode == 2
    assert "TUNERY_BOOTSTRAP_KEY" in ended.stderr
    assert "tnr-sk-" not in ended.stdout + ended.stderr
