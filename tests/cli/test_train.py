"""`tunery train`."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.conftest import CommandLine
from tests.cli.fake import Asked, Canned, FakeServer
from tests.cli.objects import FILE_ID, JOB_ID, Json, event, file, job, refused, stream

JOBS = "/v1/fine_tuning/jobs"
PROBLEM = {
    "line": 2,
    "field": "messages[0].role",
    "message": 'did you mean "assistant"?',
    "level": "error",
    "file": "training",
}


def plan(*, problems: tuple[Json, ...] = ()) -> Json:
    return {
        "object": "fine_tuning.dry_run",
        "model": "tiny-chat",
        "training_file": FILE_ID,
        "validation_file": None,
        "hyperparameters": {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.0},
        "x_tunery": {"learning_rate": 0.002, "r": 16, "lora_alpha": 32.0},
        "steps": None if problems else 75,
        "estimated_seconds": None if problems else 61.0,
        "memory_bytes": None if problems else 900_000_000,
        "report": {
            "format": "chat",
            "n_rows": 200,
            "n_examples": 200,
            "n_overlong": 0,
            "context": 2048,
            "tokens": {
                "total": 12_000,
                "trained": 4_000,
                "median": 60,
                "p95": 80,
                "max": 95,
                "histogram": [[64, 120], [128, 80]],
            },
            "problems": list(problems),
            "n_errors": len(problems),
            "n_warnings": 0,
        },
    }


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "colours.jsonl"
    path.write_text('{"messages": []}\n')
    return str(path)


@pytest.fixture
def ready(server: FakeServer) -> FakeServer:
    """A server on which everything works."""

    def created(asked: Asked) -> Canned:
        return Canned(plan() if asked.json["x_tunery"].get("dry_run") else job("queued"))

    server.on("POST /v1/files", file())
    server.on(f"POST {JOBS}", created)
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded"))
    events = Canned(raw=stream(event(1, "Started")), content_type="text/event-stream")
    server.on(f"GET {JOBS}/{JOB_ID}/events", events)
    return server


def test_training_uploads_plans_creates_and_watches(
    ready: FakeServer, tunery: CommandLine, data: str
) -> None:
    ended = tunery("train", data, "--model", "tiny-chat")
    assert ended.code == 0
    routes = [f"{asked.method} {asked.path}" for asked in ready.asked]
    assert routes[:3] == ["POST /v1/files", f"POST {JOBS}", f"POST {JOBS}"]
    assert re.search(r"steps +75", ended.err)
    assert "learning_rate 0.002" in ended.err
    assert "succeeded" in ended.err


@pytest.mark.parametrize(("typed", "code"), [("n\n", 0), ("", 130)], ids=["no", "stopped"])
def test_who_does_not_agree_starts_nothing_and_is_told_where_the_data_is(
    ready: FakeServer,
    tunery: CommandLine,
    data: str,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr("tunery.cli.train.aside", lambda: screen)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    ended = tunery("train", data, "--model", "tiny-chat")
    assert ended.code == code
    assert isinstance(screen.file, io.StringIO)
    said = screen.file.getvalue() + ended.err
    assert "Nothing was started" in said
    assert f"`tunery files delete {FILE_ID}` removes it" in said
    assert "Error:" not in said
    routes = [f"{asked.method} {asked.path}" for asked in ready.asked]
    assert routes == ["POST /v1/files", f"POST {JOBS}"]  # the dry run


def test_every_switch_reaches_the_request(
    ready: FakeServer, tunery: CommandLine, data: str
) -> None:
    arguments = (
        "--model tiny-chat --suffix s --seed 7 --epochs 2 --batch-size 4 --learning-rate 0.01 "
        "--learning-rate-multiplier 2 --r 8 --lora-alpha 16 --overlong drop --engine local "
        "--sample Who? --sample Why? --metadata team=paint --metadata note=a=b --yes --detach"
    )
    ended = tunery("train", data, "--validation", FILE_ID, *arguments.split())
    assert ended.code == 0
    assert f"tunery jobs watch {JOB_ID}" in ended.err
    created = ready.last(f"POST {JOBS}")
    assert created.headers["Idempotency-Key"]
    assert created.json == {
        "model": "tiny-chat",
        "training_file": FILE_ID,
        "validation_file": FILE_ID,
        "suffix": "s",
        "seed": 7,
        "metadata": {"team": "paint", "note": "a=b"},
        "method": {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 2,
                    "batch_size": 4,
                    "learning_rate_multiplier": 2.0,
                }
            },
        },
        "x_tunery": {
            "engine": "local",
            "overlong": "drop",
            "learning_rate": 0.01,
            "r": 8,
            "lora_alpha": 16.0,
            "sample_prompts": ["Who?", "Why?"],
        },
    }


def test_samples_can_be_switched_off(ready: FakeServer, tunery: CommandLine, data: str) -> None:
    ended = tunery("train", data, "-m", "tiny-chat", "--no-samples", "--yes", "--detach")
    assert ended.code == 0
    assert ready.last(f"POST {JOBS}").json["x_tunery"] == {"sample_prompts": []}
    ended = tunery("train", data, "-m", "tiny-chat", "--no-samples", "--sample", "Who?")
    assert ended.code == 2
    assert "Leave one of them out" in ended.err


def test_preferences_are_learnt_with_a_beta(
    ready: FakeServer, tunery: CommandLine, data: str
) -> None:
    def created(asked: Asked) -> Canned:
        own = {"learning_rate": 0.002, "r": 16, "beta": 0.2, "precision": "bf16"}
        planned = {**plan(), "x_tunery": own}
        return Canned(planned if asked.json["x_tunery"].get("dry_run") else job("queued"))

    ready.on(f"POST {JOBS}", created)
    arguments = "-m tiny-chat --method dpo --beta 0.2 --epochs 2 --yes --detach"
    ended = tunery("train", data, *arguments.split())
    assert ended.code == 0
    assert "beta 0.2  precision bf16" in ended.err
    assert ready.last(f"POST {JOBS}").json["method"] == {
        "type": "dpo",
        "dpo": {"hyperparameters": {"n_epochs": 2, "beta": 0.2}},
    }


def test_beta_without_preferences_is_refused(
    ready: FakeServer, tunery: CommandLine, data: str
) -> None:
    ended = tunery("train", data, "-m", "tiny-chat", "--beta", "0.2")
    assert ended.code == 2
    assert "--method dpo" in ended.err
    assert not ready.asked


def test_json_prints_the_job_as_it_ended(ready: FakeServer, tunery: CommandLine) -> None:
    assert tunery("train", FILE_ID, "-m", "tiny-chat", "--json").json == job("succeeded")


def test_a_create_whose_answer_is_lost_is_asked_for_again_as_the_same(
    ready: FakeServer, tunery: CommandLine
) -> None:
    lost = Canned(job("queued"), breaks_off=True)
    ready.on(f"POST {JOBS}", plan(), lost, job("queued"))
    assert tunery("train", FILE_ID, "-m", "tiny-chat", "--detach").code == 0
    first, second = (a for a in ready.asked if "Idempotency-Key" in a.headers)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_data_with_errors_starts_nothing(ready: FakeServer, tunery: CommandLine, data: str) -> None:
    ready.on(f"POST {JOBS}", plan(problems=(PROBLEM,)))
    ended = tunery("train", data, "--model", "tiny-chat")
    assert ended.code == 2
    assert 'did you mean "assistant"?' in ended.err
    assert "1 error, 0 warnings: nothing was started" in ended.err
    assert all(asked.json["x_tunery"]["dry_run"] for asked in ready.asked[1:])


def test_an_unknown_model_says_where_models_are(
    ready: FakeServer, tunery: CommandLine, data: str
) -> None:
    ready.on(f"POST {JOBS}", Canned(refused("There is no model.", param="model"), status=400))
    ended = tunery("train", data, "--model", "nope")
    assert ended.code == 2
    assert "tunery models list" in ended.err


@pytest.mark.parametrize(
    "arguments", [("nowhere.jsonl",), (FILE_ID, "--metadata", "team"), (FILE_ID, "--epochs", "0")]
)
def test_what_cannot_be_is_bad_input(
    ready: FakeServer, tunery: CommandLine, arguments: tuple[str, ...]
) -> None:
    assert tunery("train", *arguments, "--model", "tiny-chat").code == 2
    assert ready.asked == []
