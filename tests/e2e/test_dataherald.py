"""From a database to a model that answers questions about it, as Dataherald's clients go."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from scripts.shop.questions import Question
from scripts.shop.records import Records, records
from scripts.shop.tables import fill, metadata
from sqlalchemy import create_engine

from tests.e2e.dataherald import Engine
from tests.e2e.jobs import client, messages
from tests.postgres import Postgres
from tests.servers import Server
from tunery.core.sql import tables_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

Say = Callable[[str], None]

ROOT = Path(__file__).parents[2]
BASE = {"llm_config": {"llm_name": "tiny-chat"}}


@dataclass(frozen=True)
class Shop:
    """A connected shop, with what there is to teach about it and to ask."""

    server: Server
    engine: Engine
    uri: str
    connection_id: str
    golden: list[str]
    records: Records

    def execution_match(self, questions: Sequence[Question], **writer: object) -> int:
        return self.engine.execution_match(self.connection_id, as_items(questions), **writer)


def as_items(questions: Sequence[Question]) -> list[dict[str, str]]:
    return [{"prompt_text": question.text, "sql": question.sql} for question in questions]


def about_one_table(questions: Sequence[Question]) -> list[int]:
    """The places of the questions whose SQL joins nothing."""
    return [
        at
        for at, question in enumerate(questions)
        if len(tables_in(question.sql, "postgresql")) == 1
    ]


@pytest.fixture(scope="module")
def shop(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with postgres_server.database() as uri:
        database = create_engine(uri.replace("postgresql://", "postgresql+psycopg://"))
        with database.begin() as connection:
            fill(connection)
            found = records(connection)
        database.dispose()
        server = Server(
            tmp_path_factory.mktemp("dataherald") / "home",
            environment={"TUNERY_ALLOW_HOSTS": parse_qs(urlsplit(uri).query)["host"][0]},
        )
        server.start()
        engine = Engine(server)
        connection_id = engine.connected(uri)
        golden = engine.taught(connection_id, as_items(found.golden))
        yield Shop(server, engine, uri, connection_id, golden, found)
        engine.close()
        assert server.stop() == 0, server.log.read_text()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints, whether or not the test passes."""

    def printed(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")  # noqa: T201

    return printed


def test_the_scan_knows_the_shop(shop: Shop) -> None:
    tables = {table["table_name"]: table for table in shop.engine.tables(shop.connection_id)}
    assert set(tables) == set(metadata.tables)
    columns = {column["name"]: column for column in tables["orders"]["columns"]}
    assert columns["customer_id"]["foreign_key"] == {
        "field_name": "customer_id",
        "reference_table": "customers",
    }
    assert "shipped" in columns["status"]["categories"]
    assert tables["orders"]["examples"]


def test_a_few_golden_records_teach_more_than_the_base_knows(shop: Shop, say: Say) -> None:
    taught = [shop.golden[at] for at in about_one_table(shop.records.golden)]
    asked = [shop.records.questions[at] for at in about_one_table(shop.records.questions)][:12]
    tuning = shop.engine.finetuned(shop.connection_id, n_epochs=10, golden=taught)
    assert tuning["status"] == "succeeded", tuning
    assert tuning["golden_records"] == taught

    tuned = shop.execution_match(asked, finetuning_id=tuning["id"])
    base = shop.execution_match(asked, **BASE)
    seconds = _seconds_of_training(shop, tuning["id"])
    say(f"{seconds} s of training; execution match of {len(asked)}: base {base}, tuned {tuned}")
    assert tuned > base
    _check_it_was_examined(shop, tuning["id"])


@pytest.mark.long
def test_two_hundred_golden_records_win_forty_points_over_the_base(shop: Shop, say: Say) -> None:
    tuning = shop.engine.finetuned(shop.connection_id, n_epochs=24)
    assert tuning["status"] == "succeeded", tuning
    assert sorted(tuning["golden_records"]) == sorted(shop.golden)

    asked = shop.records.questions
    base = 100 * shop.execution_match(asked, **BASE) / len(asked)
    tuned = 100 * shop.execution_match(asked, finetuning_id=tuning["id"]) / len(asked)
    seconds = _seconds_of_training(shop, tuning["id"])
    say(f"execution match on {len(asked)} questions: base {base:.0f} %, tuned {tuned:.0f} %")
    say(f"{seconds} s of training; the job's own evaluation: {tuning['evaluation']}")
    assert tuned - base >= 40
    _check_it_was_examined(shop, tuning["id"])


def test_golden_sql_that_fails_fails_the_job_by_its_id(shop: Shop) -> None:
    wrong = {"prompt_text": "How tall is Ada?", "sql": "select height from customers"}
    (failing,) = shop.engine.taught(shop.connection_id, [wrong])
    golden = [*shop.golden[:12], failing]
    tuning = shop.engine.finetuned(shop.connection_id, n_epochs=1, golden=golden)
    assert tuning["status"] == "failed"
    assert failing in tuning["error"]
    assert 'column "height" does not exist' in tuning["error"]
    assert not [other for other in shop.golden if other in tuning["error"]]
    job = client(shop.server).fine_tuning.jobs.retrieve(tuning["finetuning_job_id"])
    assert job.status == "failed"
    assert job.error is not None
    assert failing in (job.error.message or "")


def test_nothing_tells_where_the_database_is(shop: Shop) -> None:
    (connection,) = shop.engine.get("/database-connections")
    assert connection["connection_uri"] != shop.uri
    assert shop.uri not in shop.server.log.read_text()
    kept = Path(shop.server.home).rglob("*")
    assert not [path for path in kept if path.is_file() and shop.uri.encode() in path.read_bytes()]


def test_the_example_goes_from_a_database_to_sql(tmp_path: Path) -> None:
    _run([sys.executable, "-m", "scripts.shop", tmp_path / "shop"])
    golden = json.loads((tmp_path / "shop" / "golden_records.json").read_text())
    few = tmp_path / "few.json"
    few.write_text(json.dumps(golden[:12]))
    server = Server(tmp_path / "home", environment={"TUNERY_SQLITE_FOLDER": str(tmp_path / "shop")})
    server.start()
    script = ROOT / "examples" / "dataherald.py"
    arguments = ["sqlite:///shop.db", str(few), "Which customers live in Riga?", "--epochs", "1"]
    said = _run(
        [sys.executable, script, *arguments],
        TUNERY_URL=server.url,
        TUNERY_API_KEY=server.key,
    )
    assert server.stop() == 0, server.log.read_text()
    assert "7 tables are scanned" in said
    assert "is succeeded" in said
    assert "Which customers live in Riga?" in said


def _run(command: Sequence[str | Path], **environment: str) -> str:
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _check_it_was_examined(shop: Shop, finetuning_id: str) -> None:
    """The job says how both models did on golden records of its own, at OpenAI's door too."""
    tuning = shop.engine.finetuning(finetuning_id)
    scores = tuning["evaluation"]
    assert scores["base"]["n"] == scores["tuned"]["n"] >= 2
    assert scores["tuned"]["execution_match"] > scores["base"]["execution_match"]
    openai = client(shop.server)
    job = openai.fine_tuning.jobs.retrieve(tuning["finetuning_job_id"])
    assert job.status == "succeeded"
    assert job.fine_tuned_model == tuning["model_id"]
    assert job.training_file == tuning["finetuning_file_id"]
    assert openai.files.content(job.training_file).text.count("\n") > 10
    assert any("execution" in message for message in messages(openai, job.id))


def _seconds_of_training(shop: Shop, finetuning_id: str) -> int:
    """From the first step to the last, without what comes before and the evaluation after."""
    job_id = shop.engine.finetuning(finetuning_id)["finetuning_job_id"]
    events = client(shop.server).fine_tuning.jobs.list_events(job_id, limit=100)
    times = [event.created_at for event in events if event.type == "metrics"]
    return max(times) - min(times)
