"""Databases are connected to, and what is secret comes back encrypted only."""

import json
import logging

import pytest
from fastapi.testclient import TestClient

from tests.dialects.databases import AWAY, EMPTY, SHOP
from tests.dialects.dataherald.requests import CONNECTIONS, TABLES, connected, connection, listed

SECRETS = ("s3cret-word", "sk-clear", "AKIA-clear", "storage-clear", "ssh-clear", "key-clear")
STORAGE = {
    "name": "S3",
    "access_key_id": "AKIA-clear",
    "secret_access_key": "storage-clear",
    "bucket": "b",
}
SSH = {
    "host": "h",
    "username": "u",
    "password": "ssh-clear",
    "private_key_password": "key-clear",
}
ALL_SECRETS = {"llm_api_key": "sk-clear", "file_storage": STORAGE, "ssh_settings": SSH}


def test_a_connection_is_answered_whole(http: TestClient) -> None:
    made = connected(http, metadata={"team": "a"}, llm_api_key="sk-clear")
    uri, key = made["connection_uri"], made["llm_api_key"]
    assert made == {
        "id": made["id"],
        "alias": "shop",
        "dialect": "postgresql",
        "use_ssh": False,
        "connection_uri": uri,
        "schemas": None,
        "path_to_credentials_file": None,
        "llm_api_key": key,
        "ssh_settings": None,
        "file_storage": None,
        "metadata": {"team": "a"},
        "created_at": "2026-09-21T12:00:00.250000+00:00",
    }
    assert len(made["id"]) == 24
    assert uri.startswith("sealed:")
    assert key.startswith("sealed:")
    assert listed(http, CONNECTIONS) == [made]


def test_a_table_is_described_for_each_that_the_database_has(http: TestClient) -> None:
    made = connected(http)
    tables = listed(http, TABLES, db_connection_id=made["id"])
    assert [(table["table_name"], table["status"]) for table in tables] == [
        ("customers", "NOT_SCANNED"),
        ("orders", "NOT_SCANNED"),
    ]


def test_no_secret_is_seen_again_in_any_answer(http: TestClient) -> None:
    made = http.post(CONNECTIONS, json=connection(**ALL_SECRETS))
    again = http.put(f"{CONNECTIONS}/{made.json()['id']}", json=connection(**ALL_SECRETS))
    assert again.json()["ssh_settings"]["port"] == "22"
    assert again.json()["file_storage"]["region"] is None
    for answer in (made, again, http.get(CONNECTIONS)):
        assert answer.is_success
        assert [secret for secret in SECRETS if secret in answer.text] == []


@pytest.mark.parametrize(
    "more",
    [
        {"connection_uri": AWAY},
        {"connection_uri": EMPTY},
        {"connection_uri": "postgresql://reader:s3cret-word@elsewhere.example/x"},
        {"use_ssh": True},
        {"path_to_credentials_file": "/etc/passwd"},
        {"alias": None},
        {"schemas": "public"},
        {"llm_api_key": ["sk-clear"]},
        {"file_storage": {"access_key_id": "AKIA-clear"}},
        {"ssh_settings": {"password": {"a": "ssh-clear"}}},
        {"metadata": "sk-clear"},
        {"connection_uri": SHOP + "\n" + "x" * 5000},
        {"connection_uri": "s3cret-word\ud800"},
    ],
)
def test_no_secret_is_seen_again_in_any_error_or_log(
    http: TestClient, caplog: pytest.LogCaptureFixture, more: dict[str, object]
) -> None:
    body = connection(**{**ALL_SECRETS, **more})
    with caplog.at_level(logging.DEBUG):
        answer = http.post(CONNECTIONS, content=json.dumps(body))
    assert answer.status_code in {400, 422}
    assert [secret for secret in SECRETS if secret in answer.text + caplog.text] == []
    assert listed(http, CONNECTIONS) == []


def test_what_came_encrypted_can_be_sent_back(http: TestClient) -> None:
    made = connected(http, **ALL_SECRETS)
    sent = {key: made[key] for key in made if key not in {"id", "created_at", "dialect"}}
    again = http.put(f"{CONNECTIONS}/{made['id']}", json={**sent, "alias": "other"})
    assert again.status_code == 200
    assert again.json()["alias"] == "other"
    copy = connected(http, **{**again.json(), "alias": "copy"})
    assert copy["id"] != made["id"]
    assert copy["connection_uri"] != again.json()["connection_uri"]


def test_what_another_project_got_encrypted_is_worth_nothing(
    http: TestClient, theirs: TestClient
) -> None:
    uri = connected(theirs)["connection_uri"]
    answer = http.post(CONNECTIONS, json=connection(connection_uri=uri))
    made_up = http.post(CONNECTIONS, json=connection(connection_uri="sealed:1234"))
    assert answer.status_code == 400
    assert answer.json() == made_up.json()


def test_white_space_around_a_uri_does_not_matter(http: TestClient) -> None:
    assert connected(http, connection_uri=f"  {SHOP}\n")["dialect"] == "postgresql"


def test_numbers_are_read_as_text_where_text_is_wanted(http: TestClient) -> None:
    assert connected(http, alias=7, nobody_knows="this")["alias"] == "7"


def test_a_replacement_takes_the_place_of_all(http: TestClient) -> None:
    made = connected(http, metadata={"a": 1}, llm_api_key="sk-clear")
    other = connected(http)
    path = f"{CONNECTIONS}/{made['id'].upper()}"
    answer = http.put(path, json=connection(alias="new"))
    assert (answer.status_code, answer.json()["id"]) == (200, made["id"])
    assert answer.json()["created_at"] == made["created_at"]
    assert (answer.json()["metadata"], answer.json()["llm_api_key"]) == (None, None)
    assert listed(http, CONNECTIONS) == [answer.json(), other]


def test_a_failed_replacement_changes_nothing(http: TestClient) -> None:
    made = connected(http)
    for uri in (EMPTY, AWAY, "nonsense"):
        body = connection(connection_uri=uri, alias="new")
        assert http.put(f"{CONNECTIONS}/{made['id']}", json=body).status_code == 400
    assert listed(http, CONNECTIONS) == [made]
