"""A child that is given one line and answers with many."""

from collections.abc import Iterator

import pytest

from tunery.engines.child import Child, cold


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child(cold("tests.engines.talker"), b"hello\n")
    yield started
    started.kill()


def test_lines_come_as_they_are_written_and_silence_is_told(child: Child) -> None:
    lines = child.lines(silence_s=0.5)
    spoken = next(line for line in lines if line is not None)
    assert spoken == b"heard hello\n"
    assert next(lines) is None


def test_an_exit_code_and_the_last_words_are_in_the_epitaph(child: Child) -> None:
    child.send(b"leave\n")
    assert [line for line in child.lines(silence_s=0.5) if line] == [b"heard hello\n"]
    assert child.epitaph() == "It ended with exit code 3.\nabout to talk"


def test_a_signal_is_named_in_the_epitaph(child: Child) -> None:
    child.send(b"die\n")
    assert [line for line in child.lines(silence_s=0.5) if line] == [b"heard hello\n"]
    assert child.epitaph().startswith("It was killed by SIGKILL (out of memory?).")


def test_a_line_for_a_child_that_has_ended_is_dropped(child: Child) -> None:
    child.send(b"leave\n")
    assert list(child.lines(silence_s=0.5))[-1] == b"heard hello\n"
    child.send(b"are you there?\n" * 10_000)
    child.send(b"no\n")
