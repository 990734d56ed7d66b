"""A server in memory, and a client of BFL's door."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World, make_world
from tests.store.values import OURS


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "blobs")


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"x-key": OURS.key_id}) as client:
        yield client
