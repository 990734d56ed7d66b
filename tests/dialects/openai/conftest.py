"""A server in memory, and two clients of it: a plain one and the official one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from tests.dialects.world import World, make_world
from tests.store.values import OURS


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "blobs")


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"authorization": f"Bearer {OURS.key_id}"}) as client:
        yield client


@pytest.fixture
def sdk(http: TestClient) -> OpenAI:
    return OpenAI(
        base_url="http://testserver/v1",
        api_key=OURS.key_id,
        http_client=http,
        max_retries=0,
        _strict_response_validation=True,
    )
