"""Retrieve a job, and list 20 of 100,000, against the usual stack: `python -m benchmarks.reads`."""

import hashlib
import json
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import create_engine
from tests.servers import KEY

from benchmarks import servers
from benchmarks.comparison import Comparison, show
from benchmarks.load import measure
from benchmarks.rival_reads import Base

N_JOBS = 100_000
ROUNDS = 5
ROUND_S = 2.0
RIVAL = "FastAPI response_model + SQLAlchemy async ORM (aiosqlite)"


def comparisons() -> list[Comparison]:
    """Both reads, the servers asked in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with servers.ours(folder) as server:
            database = server.home / "tunery.db"
        _fill_ours(database)
        _fill_rival(folder / "rival.db")
        return _both(folder)


def _both(folder: Path) -> list[Comparison]:
    with (
        servers.ours(folder) as server,
        servers.rival("benchmarks.rival_reads", folder / "rival.db") as rival_port,
    ):
        paths = {
            "retrieve a job": f"/v1/fine_tuning/jobs/{_job_id(N_JOBS // 2)}",
            "list 20 of 100,000 jobs": "/v1/fine_tuning/jobs?limit=20",
        }
        return [_compare(what, path, server.port, rival_port) for what, path in paths.items()]


def _compare(what: str, path: str, our_port: int, rival_port: int) -> Comparison:
    ours, theirs = [], []
    for port in (our_port, rival_port):
        measure(port, path, key=KEY, seconds=1.0)
    for _ in range(ROUNDS):
        ours.append(measure(our_port, path, key=KEY, seconds=ROUND_S).requests_per_second)
        theirs.append(measure(rival_port, path, key=KEY, seconds=ROUND_S).requests_per_second)
    return Comparison(what=what, rival=RIVAL, unit="/s", ours=ours, theirs=theirs)


def _fill_ours(database: Path) -> None:
    """Finished jobs, as this server writes them."""
    hyperparameters = {"n_epochs": "auto", "batch_size": "auto", "learning_rate": "auto"}
    job = {
        "project_id": "default",
        "organization_id": "org-default",
        "created_by": "user-default",
        "created_at_us": 1_790_000_000_000_000,
        "status": "succeeded",
        "engine": "local",
        "base_model": "tiny-chat",
        "requested_model": "tiny-chat",
        "training_file": "file-0123456789abcdef01234567",
        "method": "supervised",
        "hyperparameters": json.dumps({**hyperparameters, "learning_rate_multiplier": "auto"}),
        "lora": json.dumps(
            {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
        ),
        "overlong": "error",
        "seed": 7,
        "metadata": json.dumps({"team": "paint"}),
        "echo": "{}",
        "resolved": json.dumps(
            {
                "n_epochs": 3,
                "batch_size": 16,
                "learning_rate_multiplier": 1.0,
                "learning_rate": 0.003,
            }
        ),
        "total_steps": 60,
        "last_step": 60,
        "trained_tokens": 12_345,
        "finished_at_us": 1_790_000_100_000_000,
        "fine_tuned_model": "ft:tiny-chat:org-default:colours:01234567",
        "result_files": json.dumps(["file-fedcba987654321001234567"]),
        "lease_token": 1,
        "deaths": 0,
        "last_event": 66,
    }
    _insert_copies(database, job)


def _insert_copies(database: Path, job: dict[str, object]) -> None:
    columns = ", ".join(job)
    values = ", ".join(f":{column}" for column in job)
    with sqlite3.connect(database) as connection:
        connection.executemany(
            f"INSERT INTO jobs (id, {columns}) VALUES (:id, {values})",
            ({**job, "id": _job_id(number)} for number in range(N_JOBS)),
        )
    connection.close()


def _fill_rival(database: Path) -> None:
    engine = create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    engine.dispose()
    hyperparameters = {"n_epochs": 3, "batch_size": 16, "learning_rate_multiplier": 1.0}
    job: dict[str, object] = {
        "project_id": "default",
        "organization_id": "org-default",
        "created_at": 1_790_000_000,
        "finished_at": 1_790_000_100,
        "model": "tiny-chat",
        "fine_tuned_model": "ft:tiny-chat:org-default:colours:01234567",
        "status": "succeeded",
        "training_file": "file-0123456789abcdef01234567",
        "result_files": json.dumps(["file-fedcba987654321001234567"]),
        "trained_tokens": 12_345,
        "hyperparameters": json.dumps(hyperparameters),
        "method": json.dumps(
            {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
        ),
        "integrations": "[]",
        "job_metadata": json.dumps({"team": "paint"}),
        "error": "null",
        "seed": 7,
    }
    _insert_copies(database, job)
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        connection.execute("INSERT INTO keys VALUES (?, 'default')", (digest,))
    connection.close()


def _job_id(number: int) -> str:
    return f"ftjob-{number:024x}"


if __name__ == "__main__":
    show(comparisons())
