"""Databases are tried out before they are kept, and their secrets are seen by nobody."""

import logging

import pytest

from tests.dialects.databases import AWAY, CUSTOMERS, EMPTY, SHOP, ScriptedDatabase
from tests.service.text_to_sql.wired import Wired
from tests.store.values import OURS, THEIRS
from tunery.core.errors import InvalidValue, NotFound, QueryFailed
from tunery.core.text_to_sql import ScanStatus
from tunery.service.text_to_sql.connections import NewConnection
from tunery.service.text_to_sql.secrets import Secret, without_secrets

PASSWORD = "s3cret-word"


@pytest.fixture
def wired() -> Wired:
    return Wired()


def asked(uri: str = SHOP, **more: object) -> NewConnection:
    return NewConnection(alias="shop", uri=Secret(uri), echo=more)


def test_a_connection_is_kept_with_its_tables_unscanned(wired: Wired) -> None:
    connection = wired.connections.create(OURS, asked())
    assert connection.dialect == "postgresql"
    assert wired.connections.list(OURS) == [connection]
    tables = wired.tables.list(OURS, connection.id)
    assert [(table.table_name, table.status) for table in tables] == [
        ("customers", ScanStatus.NOT_SCANNED),
        ("orders", ScanStatus.NOT_SCANNED),
    ]


def test_secrets_are_sealed_for_the_connection_alone(wired: Wired) -> None:
    connection = wired.connections.create(
        OURS, asked(llm_api_key=Secret("sk-clear"), storage={"key": Secret("k"), "name": "S3"})
    )
    assert PASSWORD not in repr(connection)
    assert "sk-clear" not in repr(connection)
    assert wired.sealer.open(connection.sealed_uri, bound_to=connection.id) == SHOP
    sealed_key = connection.echo["llm_api_key"]
    assert isinstance(sealed_key, str)
    assert wired.sealer.open(sealed_key, bound_to=connection.id) == "sk-clear"
    storage = connection.echo["storage"]
    assert isinstance(storage, dict)
    assert storage["name"] == "S3"
    assert wired.sealer.open(storage["key"], bound_to=connection.id) == "k"


def test_what_was_given_back_sealed_is_taken_back(wired: Wired) -> None:
    first = wired.connections.create(OURS, asked(llm_api_key=Secret("sk-clear")))
    key = first.echo["llm_api_key"]
    assert isinstance(key, str)
    for again in (
        wired.connections.replace(OURS, first.id, asked(first.sealed_uri, llm_api_key=Secret(key))),
        wired.connections.create(OURS, asked(first.sealed_uri, llm_api_key=Secret(key))),
    ):
        assert wired.sealer.open(again.sealed_uri, bound_to=again.id) == SHOP
        sealed_key = again.echo["llm_api_key"]
        assert isinstance(sealed_key, str)
        assert wired.sealer.open(sealed_key, bound_to=again.id) == "sk-clear"


def test_what_another_project_was_given_sealed_is_refused(wired: Wired) -> None:
    theirs = wired.connect(THEIRS)
    wired.connect(OURS)
    for sealed in (theirs.sealed_uri, "sealed:0000"):
        with pytest.raises(InvalidValue, match="send it in clear"):
            wired.connections.create(OURS, asked(sealed))
    assert len(wired.connections.list(OURS)) == 1


@pytest.mark.parametrize(
    ("uri", "error", "code"),
    [
        (EMPTY, InvalidValue, "empty_database"),
        (AWAY, QueryFailed, "query_failed"),
        ("nonsense", InvalidValue, "invalid_database_uri_format"),
        (
            f"postgresql://reader:{PASSWORD}@else.example/x",
            InvalidValue,
            "invalid_database_uri_format",
        ),
    ],
)
def test_what_cannot_be_used_is_not_kept(
    wired: Wired, uri: str, error: type[InvalidValue | QueryFailed], code: str
) -> None:
    with pytest.raises(error) as caught:
        wired.connections.create(OURS, asked(uri))
    assert caught.value.code == code
    assert PASSWORD not in str(caught.value)
    assert wired.store.connections.list("ours") == []
    assert wired.store.tables.list("ours") == []


def test_a_failed_replacement_changes_nothing(wired: Wired) -> None:
    connection = wired.connect()
    tables = wired.tables.list(OURS, connection.id)
    for uri in (EMPTY, AWAY, "nonsense"):
        with pytest.raises((InvalidValue, QueryFailed)):
            wired.connections.replace(OURS, connection.id, asked(uri))
    assert wired.connections.list(OURS) == [connection]
    assert wired.tables.list(OURS, connection.id) == tables


def test_a_replacement_keeps_up_with_the_tables(wired: Wired) -> None:
    connection = wired.connect()
    wired.clock.advance(60)
    wired.databases.known["postgresql://new.example/x"] = ScriptedDatabase(
        tables={(None, "customers"): CUSTOMERS, (None, "invoices"): CUSTOMERS}
    )
    after = wired.connections.replace(OURS, connection.id, asked("postgresql://new.example/x"))
    assert (after.id, after.created_at) == (connection.id, connection.created_at)
    assert {each.table_name: each.status for each in wired.tables.list(OURS, after.id)} == {
        "customers": ScanStatus.NOT_SCANNED,
        "orders": ScanStatus.DEPRECATED,
        "invoices": ScanStatus.NOT_SCANNED,
    }


def test_another_uri_is_scanned_anew_and_the_same_one_is_not(wired: Wired) -> None:
    connection = wired.connect()
    wired.tables.scan(wired.tables.begin_scan_of_all(OURS, connection.id))
    wired.databases.known["postgresql://new.example/x"] = wired.databases.known[SHOP]
    seen = []
    for uri in (connection.sealed_uri, SHOP, "postgresql://new.example/x"):
        wired.connections.replace(OURS, connection.id, asked(uri))
        seen.append({each.status for each in wired.tables.list(OURS, connection.id)})
    assert seen == [{ScanStatus.SCANNED}, {ScanStatus.SCANNED}, {ScanStatus.NOT_SCANNED}]


def test_another_projects_connection_is_unknown(wired: Wired) -> None:
    theirs = wired.connect(THEIRS)
    with pytest.raises(NotFound):
        wired.connections.get(OURS, theirs.id)
    with pytest.raises(NotFound):
        wired.connections.replace(OURS, theirs.id, asked())
    assert wired.connections.list(OURS) == []


def test_schemas_are_refused_where_there_are_none(wired: Wired) -> None:
    wired.databases.known["sqlite:///shop.db"] = ScriptedDatabase(dialect="sqlite")
    new = NewConnection(alias="shop", uri=Secret("sqlite:///shop.db"), schemas=("main",))
    with pytest.raises(InvalidValue) as caught:
        wired.connections.create(OURS, new)
    assert caught.value.code == "schema_not_supported"


def test_only_the_tables_of_the_schemas_are_described(wired: Wired) -> None:
    wired.databases.shop.tables["sales", "leads"] = CUSTOMERS
    connection = wired.connect(schemas=("sales",))
    [table] = wired.tables.list(OURS, connection.id)
    assert (table.schema_name, table.table_name) == ("sales", "leads")
    with pytest.raises(InvalidValue, match="schemas nowhere") as caught:
        wired.connect(schemas=("nowhere",))
    assert caught.value.code == "empty_database"


def test_what_a_driver_says_unforeseen_is_in_no_error_and_no_log(
    wired: Wired, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(uri: str, **_: object) -> None:
        raise ValueError(f"no such option in {uri}")

    monkeypatch.setattr(wired.databases, "tables", fail)
    with caplog.at_level(logging.DEBUG), pytest.raises(QueryFailed, match="ValueError") as caught:
        wired.connect()
    assert "in fail" in caplog.text
    for shown in (caplog.text, str(caught.value)):
        assert PASSWORD not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"cannot reach {SHOP} now", "cannot reach *** now"),
        ("host shop.example refused", "host shop.example refused"),
        (f"the password {PASSWORD} is wrong", "the password *** is wrong"),
        (f"//reader:{PASSWORD}@shop", "//reader:***@shop"),
    ],
)
def test_messages_lose_what_is_secret(message: str, shown: str) -> None:
    assert without_secrets(message, SHOP) == shown


def test_messages_lose_a_password_in_either_form() -> None:
    uri = "postgresql://reader:p%40ss%2Fword@shop.example/shop"
    assert without_secrets("p@ss/word and p%40ss%2Fword", uri) == "*** and ***"


def test_a_short_password_is_hidden_in_its_place_only() -> None:
    assert without_secrets("a cat at ://x:a@y", "postgresql://x:a@y/a") == "a cat at ://x:***@y"
