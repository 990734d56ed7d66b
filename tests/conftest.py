"""What more than one folder of tests needs."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.servers import Server

# As the server has it for its children, and before torch is loaded: threads that wait by spinning
# make a test with a busy neighbour take many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell that runs something in the background lets it ignore SIGINT, and every child inherits
# that: a server under test would not notice the Ctrl-C that is sent to it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Losses of one run are held to those of another, wherever either was: in bf16 they would agree to
# its rounding only.
EXACT = {"TUNERY_PRECISION": "fp32"}


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for all tests that leave it running; `openai-main` is another name of it."""
    accounts = {"TUNERY_ACCOUNTS": '{"openai-main": {"kind": "local"}}'}
    server = Server(tmp_path_factory.mktemp("live") / "home", environment=accounts | EXACT)
    server.start()
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may kill it; not started yet."""
    server = Server(tmp_path / "home", environment=EXACT)
    yield server
    if server.is_running:
        server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    # Not below pytest's own folder: as root, the server runs as another user, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="tunery-postgres-") as folder:
        server = Postgres(Path(folder) / "data")
        yield server
        server.stop()
