"""`tunery demo`: against canned answers in a moment, and for real."""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.fake import Asked, Canned, FakeServer
from tests.cli.objects import JOB_ID, TUNED, event, file, job, page, step, stream
from tunery.cli.demo import example
from tunery.cli.exam import Question

JOBS = "/v1/fine_tuning/jobs"
QUESTION = Question([{"role": "user", "content": 'Say "one".'}], "one")


@pytest.fixture
def ready(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """A server that runs already on the port of the settings."""

    def answer(asked: Asked) -> Canned:
        said = "SELECT 1;" if asked.json["model"] == TUNED else "hello"
        return Canned({"choices": [{"message": {"content": said}}]})

    monkeypatch.setenv("TUNERY_PORT", str(server.port))
    server.on("GET /v1/models", page())
    server.on("POST /v1/files", file())
    server.on(f"POST {JOBS}", job("queued"))
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded", finished_at=1790000070))
    events = Canned(raw=stream(event(1, "Started"), step(2, 2)), content_type="text/event-stream")
    server.on(f"GET {JOBS}/{JOB_ID}/events", events)
    server.on("POST /v1/chat/completions", answer)
    return server


def test_the_demo_uses_a_server_of_the_same_home(ready: FakeServer, tunery: CommandLine) -> None:
    ended = tunery("demo")
    assert ended.code == 0
    assert "using it" in ended.err
    assert f"trained {TUNED} in 1:00" in ended.out
    assert ended.out.count("SELECT 1;") == 5
    assert re.search(r"tiny-chat +0 +0%", ended.out)
    assert f"export OPENAI_BASE_URL={ready.url}/v1" in ended.out
    assert "export OPENAI_API_KEY=tnr-sk-test" in ended.out
    assert "goes on" in ended.out


def test_a_job_that_fails_fails_the_demo(ready: FakeServer, tunery: CommandLine) -> None:
    error = {"code": "disk_full", "message": "The disk is full.", "param": None}
    ready.on(f"GET {JOBS}/{JOB_ID}", job("failed", error=error))
    ended = tunery("demo")
    assert ended.code == 1
    assert "The disk is full." in ended.err


def test_ctrl_c_leaves_a_server_that_is_not_the_demos(
    ready: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunery.cli.demo.answers", interrupted)
    ended = tunery("demo", "--port", str(ready.port))
    assert ended.code == 0
    assert "goes on" in ended.out


def test_a_port_that_is_somebody_elses_is_said_with_the_switch(tunery: CommandLine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        def stranger() -> None:
            with contextlib.suppress(OSError):
                while True:
                    other.accept()[0].close()

        threading.Thread(target=stranger, daemon=True).start()
        ended = tunery("demo", "--port", str(port))
        other.shutdown(socket.SHUT_RDWR)
    assert ended.code == 2
    assert f"Port {port} is taken" in ended.err
    assert f"--port {port + 1}" in ended.err
    assert f"TUNERY_PORT={port + 1} make demo" in ended.err


def test_the_printed_program_is_eight_lines_that_run(ready: FakeServer) -> None:
    code = example(ready.url, "tnr-sk-test", TUNED, Question([QUESTION.messages[0]] * 2, "one"))
    assert len(code.splitlines()) == 8
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": TUNED,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "one"},
            }
        ],
    }
    ready.on("POST /v1/chat/completions", completion)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "printed", "exec"), {})
    assert out.getvalue() == "one\n"


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_the_demo_teaches_a_model_and_what_it_prints_runs(tmp_path: Path) -> None:
    with demo(tmp_path / "home", until="Ctrl-C stops it") as printed:
        _run_printed("".join(printed), tmp_path)
    tuned = re.search(r"tuned +\d+ +(\d+)%", "".join(printed))
    assert tuned is not None
    assert int(tuned[1]) >= 80
    # A second demo starts as cleanly as the first, over the same home.
    with demo(tmp_path / "home", until="✓ data"):
        pass


@contextlib.contextmanager
def demo(home: Path, *switches: str, until: str) -> Iterator[list[str]]:
    """A real demo's lines up to the one with `until`; at the end it is ended as by Ctrl-C."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TUNERY_", "OPENAI_"))}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tunery.cli", "demo", *switches]
    with subprocess.Popen(
        [*command, "--home", str(home), "--port", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed: list[str] = []
        for line in process.stdout:
            printed.append(line)
            if until in line:
                break
        assert process.poll() is None, "".join(printed)
        yield printed
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(timeout=60) == 0, rest
    assert f"tunery serve --port {port}" in rest


def _run_printed(printed: str, folder: Path) -> None:
    """The Python that the demo printed, as it stands."""
    code = re.search(r"^from openai.*?^print\(.*?$", printed, re.MULTILINE | re.DOTALL)
    assert code is not None, printed
    ended = subprocess.run(
        [sys.executable, "-c", code[0]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.startswith("SELECT"), ended.stderr
