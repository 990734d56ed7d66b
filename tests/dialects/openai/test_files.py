import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from openai import OpenAI

from tests.service.filestore import DictFileStore, StandingClock
from tunery.blobs.folder import FolderBlobs
from tunery.core.access import Caller
from tunery.core.errors import Unauthenticated
from tunery.dialects.openai.files.routes import router
from tunery.service.files import Files

PROJECTS = {"one": "proj_1", "two": "proj_2"}
ROW = {"messages": [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]}
GOOD = b"\n".join(json.dumps({**ROW, "tools": None}).encode() for _ in range(3))


class FakeKeys:
    def caller(self, secret: str) -> Caller:
        if secret not in PROJECTS:
            raise Unauthenticated("no")
        return Caller(organization_id="o", project_id=PROJECTS[secret], user_id="u", key_id="k")


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def http(home: Path, clock: StandingClock) -> Iterator[TestClient]:
    files = Files(
        DictFileStore(clock), FolderBlobs(home), clock, max_file_bytes=4_000_000, max_part_bytes=999
    )
    app = FastAPI()
    app.state.services = SimpleNamespace(keys=FakeKeys(), files=files, reads_in_place=True)
    app.include_router(router, prefix="/v1")
    with TestClient(app, headers={"authorization": "Bearer one"}) as client:
        yield client


@pytest.fixture
def sdk(http: TestClient) -> OpenAI:
    return OpenAI(
        base_url="http://testserver/v1",
        api_key="one",
        http_client=http,
        max_retries=0,
        _strict_response_validation=True,
    )


def test_a_file_can_be_uploaded_and_read_back(sdk: OpenAI) -> None:
    file = sdk.files.create(file=("train.jsonl", GOOD), purpose="fine-tune")
    assert (file.filename, file.bytes, file.status) == ("train.jsonl", len(GOOD), "processed")
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.list().data == [file]
    assert sdk.files.content(file.id).read() == GOOD
    assert sdk.files.delete(file.id).deleted
    assert sdk.files.list().data == []
