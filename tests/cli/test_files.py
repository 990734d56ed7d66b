"""`tunery files`."""

from pathlib import Path

from tests.cli.conftest import CommandLine
from tests.cli.fake import Canned, FakeServer
from tests.cli.objects import FILE_ID, file, page, refused


def test_a_file_is_uploaded_as_a_form(
    server: FakeServer, tunery: CommandLine, tmp_path: Path
) -> None:
    server.on("POST /v1/files", file())
    path = tmp_path / "colours.jsonl"
    path.write_bytes(b'{"messages": []}\n' * 10_000)
    ended = tunery("files", "upload", str(path), "--json")
    assert ended.json == file()
    body = server.last("POST /v1/files").body
    assert b'name="purpose"\r\n\r\nfine-tune' in body
    assert b'filename="colours.jsonl"' in body
    assert path.read_bytes() in body


def test_bad_lines_are_named_and_the_next_step_finds_them_all(
    server: FakeServer, tunery: CommandLine, tmp_path: Path
) -> None:
    answer = refused('line 3 messages[0].role: did you mean "assistant"?')
    answer["error"]["x_tunery"] = {"problems": []}  # type: ignore[index]
    server.on("POST /v1/files", Canned(answer, status=400))
    path = tmp_path / "bad.jsonl"
    path.write_text("{}\n")
    ended = tunery("files", "upload", str(path))
    assert ended.code == 2
    assert "line 3 messages[0].role" in ended.err
    assert "tunery check" in ended.err


def test_a_file_that_is_not_there_is_bad_input(tunery: CommandLine) -> None:
    ended = tunery("files", "upload", "nowhere.jsonl")
    assert ended.code == 2
    assert "nowhere.jsonl" in ended.err


def test_files_are_listed_by_purpose(server: FakeServer, tunery: CommandLine) -> None:
    server.on("GET /v1/files", page(file(bytes=12_345_678)))
    ended = tunery("files", "list", "--purpose", "fine-tune")
    assert "12.3 MB" in ended.out
    assert "purpose=fine-tune" in server.last("GET /v1/files").query


def test_a_file_is_shown_and_deleted(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"GET /v1/files/{FILE_ID}", file())
    server.on(f"DELETE /v1/files/{FILE_ID}", {"id": FILE_ID, "object": "file", "deleted": True})
    assert "colours.jsonl" in tunery("files", "show", FILE_ID).out
    assert tunery("files", "delete", FILE_ID, "--json").json["deleted"] is True


def test_a_download_is_the_bytes_and_never_overwrites(
    server: FakeServer, tunery: CommandLine, tmp_path: Path
) -> None:
    content = Canned(raw=b"step,train_loss\n1,0.5\n", content_type="application/octet-stream")
    server.on(f"GET /v1/files/{FILE_ID}/content", content)
    assert tunery("files", "download", FILE_ID).out == "step,train_loss\n1,0.5\n"
    target = tmp_path / "metrics.csv"
    assert tunery("files", "download", FILE_ID, "-o", str(target)).code == 0
    assert target.read_bytes() == content.raw
    again = tunery("files", "download", FILE_ID, "-o", str(target))
    assert again.code == 2
    assert "--output" in again.err


def test_a_download_that_breaks_off_leaves_no_file(
    server: FakeServer, tunery: CommandLine, tmp_path: Path
) -> None:
    server.on(f"GET /v1/files/{FILE_ID}/content", Canned(raw=b"step", breaks_off=True))
    target = tmp_path / "metrics.csv"
    assert tunery("files", "download", FILE_ID, "-o", str(target)).code == 4
    assert not target.exists()
