"""`tunery jobs`."""

import io

import orjson
import pytest
from rich.console import Console

from tests.cli.conftest import CommandLine
from tests.cli.fake import Canned, FakeServer
from tests.cli.objects import JOB_ID, TUNED, event, job, page, refused, step, stream
from tunery.cli import follow

JOBS = "/v1/fine_tuning/jobs"
SSE = "text/event-stream"


def test_a_list_shows_each_job_and_how_to_see_more(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"GET {JOBS}", page(job("succeeded"), has_more=True))
    ended = tunery("jobs", "list", "--limit", "1")
    assert ended.code == 0
    assert JOB_ID in ended.out
    assert TUNED in ended.out
    assert f"--after {JOB_ID}" in ended.err
    assert server.last(f"GET {JOBS}").query == "limit=1"
    assert server.last(f"GET {JOBS}").headers["Authorization"] == "Bearer tnr-sk-test"


def test_a_narrow_terminal_breaks_no_name_in_two(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = Console(file=io.StringIO(), force_terminal=True, width=40, color_system=None)
    monkeypatch.setattr("tunery.cli.output.screen", lambda: narrow)
    server.on(f"GET {JOBS}", page(job("succeeded"), job("running")))
    assert tunery("jobs", "list").code == 0
    assert isinstance(narrow.file, io.StringIO)
    head, succeeded, running = narrow.file.getvalue().splitlines()
    assert succeeded.split()[0] == JOB_ID
    assert succeeded.index(TUNED) == head.index("tuned model")
    assert running == running.rstrip()


def test_json_is_the_servers_own_object_and_nothing_else(
    server: FakeServer, tunery: CommandLine
) -> None:
    listed = page(job(), has_more=True)
    server.on(f"GET {JOBS}", listed)
    ended = tunery("jobs", "list", "--json")
    assert ended.json == listed
    assert ended.err == ""


def test_an_empty_list_says_what_to_do(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"GET {JOBS}", page())
    ended = tunery("jobs", "list")
    assert ended.out == ""
    assert "tunery train" in ended.err


def test_a_job_is_shown_with_its_last_events(server: FakeServer, tunery: CommandLine) -> None:
    own = {
        "status": "paused",
        "learning_rate": 0.002,
        "weight_decay": 0.1,
        "precision": "bf16",
    }
    paused = job("queued", x_tunery=own)
    server.on(f"GET {JOBS}/{JOB_ID}", paused)
    server.on(f"GET {JOBS}/{JOB_ID}/events", page(event(2, "Paused"), event(1, "Created")))
    ended = tunery("jobs", "show", JOB_ID)
    assert "paused" in ended.out
    assert "n_epochs 3" in ended.out
    assert "learning_rate 0.002  weight_decay 0.1  precision bf16" in ended.out
    assert "team=paint" in ended.out
    assert ended.out.index("Created") < ended.out.index("Paused")


@pytest.mark.parametrize("move", ["cancel", "pause", "resume"])
def test_a_job_is_moved(server: FakeServer, tunery: CommandLine, move: str) -> None:
    server.on(f"POST {JOBS}/{JOB_ID}/{move}", job("queued"))
    assert tunery("jobs", move, JOB_ID, "--json").json == job("queued")


def test_an_unknown_job_is_bad_input_and_says_where_jobs_are(
    server: FakeServer, tunery: CommandLine
) -> None:
    answer = Canned(refused("Could not find fine tune: nope", param="fine_tune_id"), status=404)
    server.on(f"GET {JOBS}/nope", answer)
    ended = tunery("jobs", "show", "nope")
    assert ended.code == 2
    assert "Could not find fine tune: nope" in ended.err
    assert "tunery jobs list" in ended.err


def test_a_move_that_cannot_be_made_says_where_to_look(
    server: FakeServer, tunery: CommandLine
) -> None:
    answer = Canned(refused("It is over.", code="invalid_state"), status=400)
    server.on(f"POST {JOBS}/{JOB_ID}/pause", answer)
    ended = tunery("jobs", "pause", JOB_ID)
    assert ended.code == 2
    assert "Next:  `tunery jobs show JOB`" in ended.err


def test_watching_prints_a_line_per_event_and_how_it_ended(
    server: FakeServer, tunery: CommandLine
) -> None:
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded"))
    events = stream(event(1, "Fine-tuning job started"), step(2, 5))
    server.on(f"GET {JOBS}/{JOB_ID}/events", Canned(raw=events, content_type=SSE))
    ended = tunery("jobs", "watch", JOB_ID)
    lines = ended.err.splitlines()
    assert ended.code == 0
    assert lines[0].endswith("Fine-tuning job started")
    assert lines[1].endswith("Step 2/5: training loss=1.20, 9,840 tokens/s, 0:14 left")
    assert TUNED in lines[2]
    assert "\x1b" not in ended.err


def test_a_failed_job_ends_with_1_and_the_reason(server: FakeServer, tunery: CommandLine) -> None:
    error = {"code": "loss_not_finite", "message": "The loss is not a number.", "param": None}
    server.on(f"GET {JOBS}/{JOB_ID}", job("failed", error=error))
    server.on(f"GET {JOBS}/{JOB_ID}/events", Canned(raw=stream(), content_type=SSE))
    ended = tunery("jobs", "watch", JOB_ID)
    assert ended.code == 1
    assert "The loss is not a number." in ended.err
    assert "Next:" in ended.err


def test_watching_as_json_is_an_object_per_line_the_job_last(
    server: FakeServer, tunery: CommandLine
) -> None:
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded"))
    events = [event(1, "Started"), step(2, 2)]
    server.on(f"GET {JOBS}/{JOB_ID}/events", Canned(raw=stream(*events), content_type=SSE))
    ended = tunery("jobs", "watch", JOB_ID, "--json")
    assert [orjson.loads(line) for line in ended.out.splitlines()] == [*events, job("succeeded")]


def test_a_broken_stream_is_taken_up_behind_the_last_event(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PAUSE_S", 0.01)
    first, second, third = event(1, "one"), event(2, "two"), event(3, "three")
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded"))
    server.on(
        f"GET {JOBS}/{JOB_ID}/events",
        Canned(raw=stream(first, second), content_type=SSE, breaks_off=True),
        Canned(raw=stream(third), content_type=SSE),
    )
    ended = tunery("jobs", "watch", JOB_ID, "--json")
    assert ended.code == 0
    messages = [orjson.loads(line).get("message") for line in ended.out.splitlines()]
    assert messages == ["one", "two", "three", None]
    assert server.last(f"GET {JOBS}/{JOB_ID}/events").headers["Last-Event-ID"] == second["id"]
    assert "trying again" in ended.err


def test_a_server_that_stays_away_ends_the_watching_with_4(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PAUSE_S", 0.01)
    monkeypatch.setattr(follow, "PATIENCE_S", 0.03)
    server.on(f"GET {JOBS}/{JOB_ID}", job("running"), Canned(status=503, body=refused("Away.")))
    server.on(f"GET {JOBS}/{JOB_ID}/events", Canned(raw=stream(), content_type=SSE))
    ended = tunery("jobs", "watch", JOB_ID)
    assert ended.code == 4
    assert "Away." in ended.err


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    server.on(f"GET {JOBS}/{JOB_ID}", job("running"))
    monkeypatch.setattr("tunery.cli.watch._list", interrupted)
    ended = tunery("jobs", "watch", JOB_ID)
    assert ended.code == 130
    assert ended.err.startswith(f"Stopped watching; {JOB_ID} goes on.\nNext:")  # no error
    assert f"tunery jobs watch {JOB_ID}" in ended.err
    assert f"tunery jobs cancel {JOB_ID}" in ended.err
    assert all(asked.method == "GET" for asked in server.asked)
