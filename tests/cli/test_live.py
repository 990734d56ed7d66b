"""The command line against a real server."""

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.servers import Server

DATA = Path(__file__).parents[2] / "src" / "tunery" / "cli" / "demo_data"

pytestmark = pytest.mark.e2e


@pytest.fixture
def online(live: Server, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line of somebody who was given an address and a key."""
    monkeypatch.setenv("TUNERY_URL", live.url)
    monkeypatch.setenv("TUNERY_API_KEY", live.key)
    return tunery


def test_from_a_file_to_an_answer_and_back_to_nothing(online: CommandLine, tmp_path: Path) -> None:
    data = [str(DATA / "train.jsonl"), "--validation", str(DATA / "validation.jsonl")]
    trained = online("train", *data, "-m", "tiny-chat", "--epochs", "1", "--seed", "7", "--json")
    assert trained.code == 0, trained.err
    assert "tokens/s" in trained.err
    job = trained.json
    assert job["status"] == "succeeded"

    shown = online("jobs", "show", job["id"])
    assert job["fine_tuned_model"] in shown.out
    assert job["id"] in online("jobs", "list").out
    watched = online("jobs", "watch", job["id"], "--json")
    assert watched.out.splitlines()[-1].startswith('{"id": "ftjob-')

    answer = online("models", "chat", job["fine_tuned_model"], "List the customers from Geneva.")
    assert answer.code == 0
    assert answer.out.strip()

    metrics = tmp_path / "step_metrics.csv"
    assert online("files", "download", job["result_files"][0], "-o", str(metrics)).code == 0
    assert metrics.read_text().startswith("step,")

    assert online("models", "delete", job["fine_tuned_model"]).code == 0
    assert online("models", "chat", job["fine_tuned_model"], "Hello").code == 2


def test_a_job_can_be_left_and_cancelled(online: CommandLine) -> None:
    left = online(
        "train",
        str(DATA / "train.jsonl"),
        "-m",
        "tiny-chat",
        "--epochs",
        "50",
        "--detach",
        "--json",
    )
    assert left.code == 0, left.err
    job_id = left.json["id"]
    cancelled = online("jobs", "cancel", job_id, "--json")
    assert cancelled.json["status"] == "cancelled"
    assert online("jobs", "watch", job_id).code == 1
    assert online("jobs", "cancel", job_id).code == 2


def test_a_key_opens_until_it_is_revoked(
    online: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = online("keys", "create", "guest", "--json").json
    assert made["id"] in online("keys", "list").out
    with monkeypatch.context() as guest:
        guest.setenv("TUNERY_API_KEY", made["key"])
        assert online("models", "list").code == 0
    assert online("keys", "revoke", made["id"]).code == 0
    with monkeypatch.context() as guest:
        guest.setenv("TUNERY_API_KEY", made["key"])
        assert online("models", "list").code == 3


def test_a_bad_file_is_refused_with_every_line(online: CommandLine, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    rows = (DATA / "train.jsonl").read_text().splitlines()[:12]
    rows[2] = rows[2].replace('"assistant"', '"asistant"')
    rows[5] = "not JSON"
    bad.write_text("\n".join(rows) + "\n")
    refused = online("train", str(bad), "-m", "tiny-chat")
    assert refused.code == 2
    assert "line 3" in refused.err
    assert "assistant" in refused.err
    assert "line 6" in refused.err
