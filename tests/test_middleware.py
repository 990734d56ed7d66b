"""What happens to every request, whichever door it came to."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from tunery.dialects import refusal
from tunery.middleware import BodyLimit, NoNul, RequestIds, without_limit


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.post("/any-length")
    async def any_length(request: Request) -> int:
        without_limit(request.scope)
        return len(await request.body())

    @app.post("/api/v1/length")
    async def dataherald_length(request: Request) -> int:
        return len(await request.body())

    @app.get("/things/{name}")
    async def thing(name: str) -> str:
        return name

    app.add_middleware(BodyLimit, max_bytes=1000, refusal=refusal)
    app.add_middleware(NoNul, refusal=refusal)
    app.add_middleware(RequestIds)
    with TestClient(app) as opened:
        yield opened


def test_every_answer_has_a_request_id_of_its_own(client: TestClient) -> None:
    ids = {client.get("/things/a").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert "x-request-id" in client.get("/nothing").headers


def test_a_body_within_the_limit_passes(client: TestClient) -> None:
    assert client.post("/length", content=b"x" * 1000).json() == 1000


def test_a_declared_length_above_the_limit_is_refused(client: TestClient) -> None:
    answer = client.post("/length", content=b"x" * 1001)
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["error"]["message"]


def test_a_body_that_does_not_say_its_length_is_read_no_further_than_the_limit(
    client: TestClient,
) -> None:
    answer = client.post("/length", content=(b"x" * 100 for _ in range(20)))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


def test_a_content_type_of_uploads_lifts_no_limit(client: TestClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/length", content=b"x" * 1001, headers=headers).status_code == 413
    assert client.post("/any-length", content=b"x" * 1001).json() == 1001


@pytest.mark.parametrize("url", ["/things/a%00b", "/things/a?after=%00"])
def test_a_nul_in_the_url_names_nothing(client: TestClient, url: str) -> None:
    answer = client.get(url)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("door", ["/v4", "/api/v1"])
def test_doors_of_fastapi_are_refused_in_its_words(client: TestClient, door: str) -> None:
    answer = client.get(f"{door}/a%00b")
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])
    too_large = client.post("/api/v1/length", content=b"x" * 1001)
    assert too_large.status_code == 413
    assert too_large.json() == {"detail": "The request body is larger than 1000 bytes."}
