import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from openai import OpenAI

from tests.service.bad_files import GOOD, line
from tests.store.values import START, MovableClock
from tunery.blobs.folder import FolderBlobs
from tunery.core.access import Caller
from tunery.core.errors import Unauthenticated
from tunery.dialects.openai.files.routes import router
from tunery.service.files import Files
from tunery.store.memory import MemoryStore

PROJECTS = {"one": "proj_1", "two": "proj_2"}
DATA = line(GOOD) * 12
BOUNDARY = "xyz"
PURPOSE = 'form-data; name="purpose"'
FILE = 'form-data; name="file"; filename="train.jsonl"'


class FakeKeys:
    def caller(self, secret: str) -> Caller:
        if secret not in PROJECTS:
            raise Unauthenticated("Incorrect API key provided.")
        return Caller(organization_id="o", project_id=PROJECTS[secret], user_id="u", key_id="k")


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def app(home: Path, clock: MovableClock) -> FastAPI:
    files = Files(
        MemoryStore(clock),
        FolderBlobs(home),
        clock,
        max_file_bytes=5_000_000,
        max_part_bytes=1_000_000,
    )
    app = FastAPI()
    app.state.services = SimpleNamespace(keys=FakeKeys(), files=files, reads_in_place=True)
    app.include_router(router, prefix="/v1")
    return app


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
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


def left_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def form(*parts: tuple[str, bytes], end: str = "--\r\n") -> bytes:
    """A multipart body of (Content-Disposition, bytes)."""
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: {head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )
    return body + f"--{BOUNDARY}{end}".encode()


def post(http: TestClient, body: bytes, path: str = "/v1/files") -> Any:  # noqa: ANN401
    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    return http.post(path, content=body, headers=kind)


def error(response: Any) -> dict[str, Any]:  # noqa: ANN401
    body: dict[str, Any] = response.json()["error"]
    assert set(body) >= {"message", "type", "param", "code"}
    return body


def test_a_file_can_be_uploaded_and_read_back(sdk: OpenAI, home: Path) -> None:
    file = sdk.files.create(file=("train.jsonl", DATA), purpose="fine-tune")
    assert (file.filename, file.bytes, file.status) == ("train.jsonl", len(DATA), "processed")
    assert (file.purpose, file.expires_at, file.status_details) == ("fine-tune", None, None)
    assert file.created_at == int(START.timestamp())
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.wait_for_processing(file.id) == file
    assert sdk.files.list().data == [file]
    assert sdk.files.content(file.id).read() == DATA
    assert sdk.files.delete(file.id).to_dict() == {
        "id": file.id,
        "object": "file",
        "deleted": True,
    }
    assert sdk.files.list().data == []
    assert left_in(home) == []


def test_bytes_without_a_name_are_taken(sdk: OpenAI) -> None:
    assert sdk.files.create(file=DATA, purpose="fine-tune").filename == "upload"


def test_a_file_can_expire(sdk: OpenAI, clock: MovableClock) -> None:
    file = sdk.files.create(
        file=("a.txt", b"x"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.expires_at == file.created_at + 3600
    clock.advance(3601)
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(file.id)


def test_the_purpose_evals_is_answered_as_one_that_clients_know(sdk: OpenAI) -> None:
    assert sdk.files.create(file=("a.jsonl", b"{}"), purpose="evals").purpose == "user_data"
    assert len(sdk.files.list(purpose="evals").data) == 1


def test_the_parts_of_the_form_may_come_in_any_order(http: TestClient) -> None:
    body = form(
        (FILE, DATA),
        ('form-data; name="expires_after[seconds]"', b"7200"),
        (PURPOSE, b"fine-tune"),
        ('form-data; name="unknown"', b"passed over"),
        ('form-data; name="expires_after[anchor]"', b"created_at"),
    )
    answer = post(http, body)
    assert answer.status_code == 200
    assert answer.json()["expires_at"] == answer.json()["created_at"] + 7200


def test_a_bad_file_says_all_at_once(sdk: OpenAI, home: Path) -> None:
    bad = line(GOOD) + line({"messages": [{"role": "asistant", "content": "4"}]}) + b"{\n" * 30
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.files.create(file=("train.jsonl", bad), purpose="fine-tune")
    body = caught.value.body
    assert isinstance(body, dict)
    assert body["message"].startswith(
        "Expected file to have JSONL format, where every line is a JSON dictionary. "
        "Line 3 is not a dictionary"
    )
    assert 'line 2: messages[0].role "asistant": did you mean "assistant"?' in body["message"]
    assert len(body["message"].splitlines()) == 22
    assert (body["type"], body["param"]) == ("invalid_request_error", None)
    problems = body["x_tunery"]["problems"]
    assert len(problems) == 31
    assert problems[0] | {"file": 0} == {
        "line": 2,
        "field": "messages[0].role",
        "message": '"asistant": did you mean "assistant"?',
        "level": "error",
        "file": 0,
    }
    assert left_in(home) == []


def test_lists_are_pages(sdk: OpenAI) -> None:
    ids = [
        sdk.files.create(file=("a.txt", b"x"), purpose=purpose).id
        for purpose in ("user_data", "batch", "user_data", "vision", "user_data")
    ]
    assert [file.id for file in sdk.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in sdk.files.list(limit=2, order="asc")] == ids
    mine = [file.id for file in sdk.files.list(limit=1, purpose="user_data", order="asc")]
    assert mine == [ids[0], ids[2], ids[4]]


def test_a_page_names_its_ends(http: TestClient, sdk: OpenAI) -> None:
    empty = {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    assert http.get("/v1/files").json() == empty
    ids = [sdk.files.create(file=("a.txt", b"x"), purpose="batch").id for _ in range(3)]
    page = http.get("/v1/files", params={"limit": 2}).json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[2], ids[1], True)
    rest = http.get("/v1/files", params={"after": ids[1]}).json()
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    assert http.get("/v1/files", params={"after": "file-unknown"}).json() == empty
    assert http.get("/v1/files", params={"limit": 0}).json()["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"order": "up"}, "order"),
    ],
)
def test_a_bad_query_is_refused(http: TestClient, query: dict[str, Any], param: str) -> None:
    answer = http.get("/v1/files", params=query)
    assert (answer.status_code, error(answer)["param"]) == (400, param)


def test_an_unknown_file_is_worded_as_the_official_service_does(http: TestClient) -> None:
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answer = http.request(method, f"/v1/files/file-abc{path}")
        assert answer.status_code == 404
        assert error(answer) == {
            "message": "No such File object: file-abc",
            "type": "invalid_request_error",
            "param": "id",
            "code": None,
        }


def test_a_file_of_another_project_is_an_unknown_one(http: TestClient, sdk: OpenAI) -> None:
    file_id = sdk.files.create(file=("a.txt", b"x"), purpose="batch").id
    other = {"authorization": "Bearer two"}
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        theirs = http.request(method, f"/v1/files/{file_id}{path}", headers=other)
        unknown = http.request(method, f"/v1/files/file-0{path}", headers=other)
        assert theirs.text.replace(file_id, "file-0") == unknown.text
        assert theirs.status_code == unknown.status_code == 404
    assert http.get("/v1/files", headers=other).json()["data"] == []


def test_a_key_is_needed(http: TestClient) -> None:
    assert http.get("/v1/files", headers={"authorization": ""}).status_code == 401
    assert http.post("/v1/files", headers={"authorization": "Bearer x"}).status_code == 401


MISSING = "Missing required parameter"
BROKEN = "The body is no multipart form that can be read"


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (form((FILE, DATA)), f"{MISSING}: 'purpose'", "purpose"),
        (form((PURPOSE, b"fine-tune")), f"{MISSING}: 'file'", "file"),
        (form((PURPOSE, b"finetune"), (FILE, DATA)), "purpose is 'finetune'", "purpose"),
        (form((FILE, DATA), (PURPOSE, b"x")), "purpose is 'x'", "purpose"),
        (form((PURPOSE, b"batch"), (PURPOSE, b"batch"), (FILE, DATA)), BROKEN, None),
        (form((PURPOSE, b"batch"), (FILE, DATA), (FILE, DATA)), BROKEN, None),
        (form((PURPOSE, b"\xff"), (FILE, DATA)), BROKEN, None),
        (form((PURPOSE, b"x" * 70_000), (FILE, DATA)), BROKEN, None),
        (form(*[(f'form-data; name="f{i}"', b"") for i in range(70)]), BROKEN, None),
        (form((f'{PURPOSE}; x="{"y" * 10_000}"', b"batch")), BROKEN, None),
        (form((PURPOSE, b"batch"), (FILE, DATA))[:-30], BROKEN, None),
        (form((PURPOSE, b"batch"), (FILE, DATA), end="\r\n"), BROKEN, None),
        (b"", BROKEN, None),
        (b"hello", BROKEN, None),
        (b"--other\r\n\r\n", BROKEN, None),
        (
            form((PURPOSE, b"batch"), (f'{FILE[:-13]}"../a"', b"")),
            "send a name without folders",
            "file",
        ),
        (
            form((PURPOSE, b"fine-tune"), (f'{FILE[:-13]}"a.csv"', DATA)),
            "ends in .jsonl",
            "file",
        ),
        (
            form(
                ('form-data; name="expires_after[anchor]"', b"now"),
                (PURPOSE, b"batch"),
                (FILE, DATA),
            ),
            'it must be "created_at"',
            "expires_after",
        ),
        (
            form(
                ('form-data; name="expires_after[anchor]"', b"created_at"),
                (PURPOSE, b"batch"),
                (FILE, DATA),
            ),
            "it must be a whole number",
            "expires_after",
        ),
        (
            form(
                ('form-data; name="expires_after[anchor]"', b"created_at"),
                ('form-data; name="expires_after[seconds]"', b"60"),
                (PURPOSE, b"batch"),
                (FILE, DATA),
            ),
            "it must be from 3600 to 2592000",
            "expires_after",
        ),
    ],
)
def test_a_bad_form_is_refused_and_nothing_is_left(
    http: TestClient, home: Path, body: bytes, message: str, param: str | None
) -> None:
    answer = post(http, body)
    assert answer.status_code == 400
    assert message in error(answer)["message"]
    assert error(answer)["param"] == param
    assert left_in(home) == []


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_a_body_that_is_no_form_is_refused(http: TestClient, kind: str) -> None:
    answer = http.post("/v1/files", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 400
    assert "send multipart/form-data" in error(answer)["message"]


def test_a_file_above_the_limit_is_refused(http: TestClient, home: Path) -> None:
    answer = post(http, form((PURPOSE, b"batch"), (FILE, b"x" * 5_000_001)))
    assert (answer.status_code, error(answer)["code"]) == (413, "too_large")
    assert left_in(home) == []


def test_a_client_that_leaves_half_way_leaves_nothing(app: FastAPI, home: Path) -> None:
    """The connection ends while a block is being written."""
    body = form((PURPOSE, b"batch"), (FILE, b"x" * 3_000_000))
    chunks = [body[i : i + 65536] for i in range(0, 2_500_000, 65536)]
    messages: list[Any] = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]

    async def receive() -> Any:  # noqa: ANN401
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(_: object) -> None:
        """Nobody is there any more."""

    headers = [
        (b"authorization", b"Bearer one"),
        (b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode()),
    ]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/files", "raw_path": b"/v1/files",
        "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
        "server": ("x", 80), "client": ("y", 1), "root_path": "", "app": app,
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert messages == []
    assert left_in(home) == []


# Chunked uploads


def test_an_upload_in_parts_becomes_a_file(sdk: OpenAI, http: TestClient, home: Path) -> None:
    upload = sdk.uploads.create(
        bytes=len(DATA),
        filename="train.jsonl",
        mime_type="text/jsonl",
        purpose="fine-tune",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (upload.status, upload.file, upload.bytes) == ("pending", None, len(DATA))
    assert upload.expires_at == upload.created_at + 3600
    parts = [sdk.uploads.parts.create(upload.id, data=data).id for data in (DATA[500:], DATA[:500])]
    done = sdk.uploads.complete(upload.id, part_ids=parts[::-1], md5=hashlib.md5(DATA).hexdigest())
    assert done.status == "completed"
    assert done.file is not None
    assert sdk.files.content(done.file.id).read() == DATA
    assert done.file.expires_at == done.file.created_at + 3600
    assert len(left_in(home)) == 1
    again = http.post(f"/v1/uploads/{upload.id}/complete", json={"part_ids": parts[::-1]})
    assert again.status_code == 400


def test_the_clients_own_helper_uploads_in_parts(sdk: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(DATA)
    done = sdk.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=500
    )
    assert done.status == "completed"


def test_a_cancelled_upload_is_answered_so(sdk: OpenAI, home: Path) -> None:
    upload = sdk.uploads.create(
        bytes=3, filename="a.txt", mime_type="text/plain", purpose="user_data"
    )
    part = sdk.uploads.parts.create(upload.id, data=b"abc")
    assert part.upload_id == upload.id
    assert sdk.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="no longer pending"):
        sdk.uploads.parts.create(upload.id, data=b"abc")
    assert left_in(home) == []


def test_an_unknown_upload_is_a_404(http: TestClient) -> None:
    answers = [
        post(http, form(('form-data; name="data"', b"x")), "/v1/uploads/upload_0/parts"),
        http.post("/v1/uploads/upload_0/complete", json={"part_ids": []}),
        http.post("/v1/uploads/upload_0/cancel"),
    ]
    for answer in answers:
        assert answer.status_code == 404
        assert error(answer)["message"] == "No such Upload object: upload_0"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"bytes": None}, "bytes"),
        ({"bytes": 0}, "bytes"),
        ({"purpose": "x"}, "purpose"),
        ({"filename": "a/b"}, "file"),
        ({"mime_type": 7}, "mime_type"),
        ({"expires_after": {"anchor": "now", "seconds": 3600}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after"),
    ],
)
def test_a_bad_upload_is_refused(http: TestClient, change: dict[str, Any], param: str) -> None:
    good = {"bytes": 3, "filename": "a", "mime_type": "text/plain", "purpose": "batch"}
    answer = http.post("/v1/uploads", json={**good, **change})
    assert (answer.status_code, error(answer)["param"]) == (400, param)
