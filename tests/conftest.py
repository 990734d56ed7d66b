"""What more than one folder of tests needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for all tests that leave it running."""
    server = Server(tmp_path_factory.mktemp("live") / "home")
    server.start()
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may kill it; not started yet."""
    server = Server(tmp_path / "home")
    yield server
    if server.is_running:
        server.stop()
