"""What happens to every request, whichever door it came to."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery import middleware
from tunery.core.access import Caller
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


async def _counted(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how long the body was."""
    request = Request(scope, receive)
    await JSONResponse(len(await request.body()))(scope, receive, send)


def _caller(project: str) -> Caller:
    return Caller(organization_id="org", project_id=project, user_id="user", key_id="key")


class Sending:
    """A client that sends a body of 2,000 bytes in two halves, the second one when it is let."""

    def __init__(self, path: str = "/large", *, project: str | None = None) -> None:
        self.path = path
        self.project = project
        self.n_asked = 0
        self.goes_on = asyncio.Event()
        self.answer = b""
        self.status = 0

    async def ask(self, app: ASGIApp) -> None:
        headers = [(b"content-length", b"2000")]
        scope: Scope = {"type": "http", "method": "POST", "path": self.path, "headers": headers}
        if self.project is not None:
            # As the route does, before it reads.
            scope["state"] = {"caller": _caller(self.project)}
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        self.n_asked += 1
        if self.n_asked > 1:
            await self.goes_on.wait()
        return {"type": "http.request", "body": b"x" * 1000, "more_body": self.n_asked == 1}

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.answer += message.get("body", b"")


def _limited(large_within_s: float = 60.0) -> ASGIApp:
    return BodyLimit(
        _counted,
        max_bytes=1000,
        refusal=refusal,
        of_paths={"/large": 2000, "/v1/finetune": 2000},
        large_within_s=large_within_s,
    )


def test_large_bodies_are_read_two_at_a_time_and_others_wait_unread() -> None:
    async def story() -> None:
        app, clients = _limited(), [Sending() for _ in range(4)]
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.ask(app))
            await asyncio.sleep(0.01)
            assert [client.n_asked for client in clients] == [2, 2, 0, 0]
            clients[1].goes_on.set()
            await asyncio.sleep(0.01)
            assert [client.n_asked for client in clients] == [2, 2, 2, 0]
            for client in clients:
                client.goes_on.set()
        assert [client.answer for client in clients] == [b"2000"] * 4

    asyncio.run(story())


def test_a_project_that_holds_up_its_large_bodies_holds_up_no_other_project() -> None:
    async def story() -> None:
        app, theirs = _limited(), [Sending(project="theirs") for _ in range(9)]
        tasks = [asyncio.create_task(client.ask(app)) for client in theirs]
        await asyncio.sleep(0.01)
        assert [client.n_asked for client in theirs] == [2] + [0] * 8
        ours = Sending(project="ours")
        ours.goes_on.set()
        await ours.ask(app)
        assert ours.answer == b"2000"
        for client in theirs:
            client.goes_on.set()
        await asyncio.gather(*tasks)
        assert [client.answer for client in theirs] == [b"2000"] * 9

    asyncio.run(story())


def test_a_client_that_leaves_gives_its_turn_to_the_next() -> None:
    async def story() -> None:
        app, clients = _limited(), [Sending() for _ in range(3)]
        tasks = [asyncio.create_task(client.ask(app)) for client in clients]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        clients[2].goes_on.set()
        await tasks[2]
        assert clients[2].answer == b"2000"
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())


def test_a_large_body_that_does_not_come_is_refused_in_the_words_of_its_door() -> None:
    async def story() -> None:
        client = Sending("/v1/finetune")
        await client.ask(_limited(large_within_s=0.05))
        assert client.status == 408
        message = "The request body did not arrive within 0.05 seconds."
        assert json.loads(client.answer) == {"detail": message}

    asyncio.run(story())


def test_a_large_body_may_hold_long_texts_but_not_a_flood_of_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "MOST_VALUES", 100)
    client = TestClient(_limited())
    assert client.post("/v1/finetune", content=b"[" + b"{}," * 300).json() == 901
    assert client.post("/v1/finetune", content=b"x" * 1500 + b"," * 100).json() == 1600
    refused = client.post("/v1/finetune", content=(b"{}," * 10 for _ in range(40)))
    assert refused.status_code == 413
    message = "The request body is larger than 1000 bytes and holds more than 100 values."
    assert refused.json() == {"detail": message}


def test_a_path_with_a_limit_of_its_own_keeps_to_that() -> None:
    client = TestClient(_limited())
    assert client.post("/large", content=b"x" * 2000).json() == 2000
    assert client.post("/large", content=(b"x" * 100 for _ in range(20))).json() == 2000
    refused = client.post("/v1/finetune", content=b"x" * 2001)
    assert refused.status_code == 413
    assert refused.json() == {"detail": "The request body is larger than 2000 bytes."}
    assert client.post("/length", content=b"x" * 1001).status_code == 413
