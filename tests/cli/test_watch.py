"""Progress as a person sees it."""

import io

import pytest
from rich.console import Console

from tests.cli.conftest import CommandLine
from tests.cli.fake import Canned, FakeServer
from tests.cli.objects import JOB_ID, event, job, step, stream
from tunery.cli.output import duration, size

JOBS = "/v1/fine_tuning/jobs"


def test_a_terminal_shows_a_bar_with_step_loss_speed_and_time_left(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr("tunery.cli.watch.aside", lambda: screen)
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded"))
    events = [event(1, "Fine-tuning job started"), step(2, 5), event(3, "Careful", level="warn")]
    sse = Canned(raw=stream(*events), content_type="text/event-stream")
    server.on(f"GET {JOBS}/{JOB_ID}/events", sse)
    assert tunery("jobs", "watch", JOB_ID).code == 0
    assert isinstance(screen.file, io.StringIO)
    drawn = screen.file.getvalue()
    assert "Fine-tuning job started" in drawn
    assert "Careful" in drawn
    assert "40% step 2/5  loss 1.200  9,840 tokens/s  0:14 left" in drawn


def sampled(number: int, *said: str) -> dict[str, object]:
    prompts = ["Who are you?", "And\nI?"]
    samples = [{"prompt": p, "answer": a} for p, a in zip(prompts, said, strict=True)]
    data = {"step": number, "samples": samples}
    return event(number, f"Samples at step {number}", data=data)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_answers_are_shown_where_they_have_changed(
    server: FakeServer,
    tunery: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
) -> None:
    screen = Console(file=io.StringIO(), force_terminal=is_terminal, width=120, color_system=None)
    monkeypatch.setattr("tunery.cli.watch.aside", lambda: screen)
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded"))
    events = [
        sampled(1, "", "[bold] " + "two " * 40),
        sampled(2, "I am Ada.", "[bold] " + "two " * 40),
        sampled(3, "I am Ada.", "[bold] " + "two " * 40),
    ]
    sse = Canned(raw=stream(*events), content_type="text/event-stream")
    server.on(f"GET {JOBS}/{JOB_ID}/events", sse)
    assert tunery("jobs", "watch", JOB_ID).code == 0
    assert isinstance(screen.file, io.StringIO)
    drawn = screen.file.getvalue()
    for line in (
        "    Who are you? → (nothing)",
        "    And I? → [bold] " + "two " * 18 + "…",
        "    Who are you? → I am Ada.",
        "    And I? → (as before)",
        "    every answer as before",
    ):
        assert line in drawn
    assert drawn.count("Who are you?") == 2


@pytest.mark.parametrize(
    ("subject", "said"),
    [(None, "Talk to it: tunery models chat"), ({"trigger_word": "TOK"}, "Draw with it: POST")],
)
def test_what_a_job_is_good_for_is_said_at_its_end(
    server: FakeServer, tunery: CommandLine, subject: dict[str, str] | None, said: str
) -> None:
    server.on(f"GET {JOBS}/{JOB_ID}", job("succeeded", x_tunery={"subject": subject}))
    sse = Canned(raw=stream(event(1, "Done")), content_type="text/event-stream")
    server.on(f"GET {JOBS}/{JOB_ID}/events", sse)
    assert said in tunery("jobs", "watch", JOB_ID).err


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3661, "1:01:01")]
)
def test_a_duration_reads_as_a_clock(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("n_bytes", "shown"), [(0, "0 B"), (999, "999 B"), (4210, "4.2 kB"), (8e9, "8.0 GB")]
)
def test_a_size_has_the_unit_that_fits(n_bytes: float, shown: str) -> None:
    assert size(n_bytes) == shown
