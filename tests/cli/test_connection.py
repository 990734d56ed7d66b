"""Which server, which key, and what is said when neither works."""

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.fake import Canned, FakeServer
from tests.cli.objects import page, refused


def keep_key(home: Path, key: str) -> None:
    home.mkdir()
    (home / "credentials").write_text(f"{key}\n")


def test_the_key_of_the_first_start_is_used_on_this_machine(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TUNERY_API_KEY")
    keep_key(tmp_path / "home", "tnr-sk-kept")
    server.on("GET /v1/models", page())
    assert tunery("models", "list").code == 0
    assert server.last("GET /v1/models").headers["Authorization"] == "Bearer tnr-sk-kept"


def test_the_key_of_this_machine_is_not_shown_to_another(
    tunery: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tunery.cli.connection import connect

    keep_key(tmp_path / "home", "tnr-sk-kept")
    monkeypatch.setenv("TUNERY_URL", "https://tunery.example")
    assert connect().key is None


def test_the_port_of_the_settings_is_where_this_machine_serves(
    tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunery.cli.connection import connect

    monkeypatch.setenv("TUNERY_PORT", "9999")
    monkeypatch.setenv("TUNERY_HOST", "0.0.0.0")
    assert connect().url == "http://127.0.0.1:9999"


def test_a_url_with_v1_behind_it_is_the_same_server(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_URL", f"{server.url}/v1/")
    server.on("GET /v1/models", page())
    assert tunery("models", "list").code == 0


def test_nobody_there_is_4_and_says_how_to_start(
    tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_URL", "http://127.0.0.1:1")
    ended = tunery("models", "list")
    assert ended.code == 4
    assert "tunery serve" in ended.err


@pytest.mark.parametrize(
    ("status", "code", "next_step"),
    [
        (400, 2, "--help"),
        (401, 3, "TUNERY_API_KEY"),
        (403, 3, "tunery keys list"),
        (413, 2, "TUNERY_MAX_FILE_BYTES"),
        (429, 3, "Wait"),
        (500, 4, "log"),
        (503, 4, "Try again"),
    ],
)
def test_what_the_server_refuses_has_an_exit_code_and_a_next_step(
    server: FakeServer, tunery: CommandLine, status: int, code: int, next_step: str
) -> None:
    server.on("GET /v1/models", Canned(refused("It says why."), status=status))
    ended = tunery("models", "list")
    assert ended.code == code
    assert "It says why." in ended.err
    assert next_step in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("which", ["training_file", "validation_file"])
def test_a_file_for_another_method_is_not_to_be_uploaded_again(
    server: FakeServer, tunery: CommandLine, which: str
) -> None:
    answer = refused("Invalid file format.", param=which, code=f"invalid_{which}")
    server.on("GET /v1/models", Canned(answer, status=400))
    ended = tunery("models", "list")
    assert "--method" in ended.err
    assert "Upload it first" not in ended.err


def test_a_stranger_on_the_port_is_told_apart(server: FakeServer, tunery: CommandLine) -> None:
    server.on("GET /v1/models", Canned(raw=b"<html>", content_type="text/html"))
    ended = tunery("models", "list")
    assert ended.code == 4
    assert "TUNERY_URL" in ended.err


def test_a_setting_that_cannot_be_is_named(
    tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_PORT", "many")
    ended = tunery("models", "list")
    assert ended.code == 2
    assert "port" in ended.err


def test_a_table_in_a_variable_that_is_no_json_is_named(
    tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_ACCOUNTS", '{"secret-name": ')
    ended = tunery("jobs", "list")
    assert ended.code == 2
    assert "accounts" in ended.err
    assert "JSON" in ended.err
    assert "Traceback" not in ended.err
    assert "secret-name" not in ended.err


def test_a_broken_tunery_toml_is_named(tunery: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "tunery.toml").write_text("port = = 3\n")
    ended = tunery("models", "list")
    assert ended.code == 2
    assert "tunery.toml" in ended.err
