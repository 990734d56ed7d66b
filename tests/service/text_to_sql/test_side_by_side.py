"""Work that others wait for, several pieces at a time."""

import threading
from collections.abc import Iterator

import pytest

from tunery.core.errors import InvalidValue, Unavailable
from tunery.service.text_to_sql.side_by_side import aside, side_by_side


def always() -> bool:
    return True


def test_results_come_in_the_order_of_what_they_are_made_from() -> None:
    first_may_end = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert first_may_end.wait(10)
        else:
            first_may_end.set()
        return number * 10

    results = side_by_side(work, range(20), at_once=2, wanted=always)
    assert list(results) == [number * 10 for number in range(20)]


def test_no_more_than_so_many_run_at_once() -> None:
    running, most = threading.Semaphore(3), []

    def work(number: int) -> None:
        most.append(running.acquire(blocking=False))
        running.release()

    list(side_by_side(work, range(50), at_once=3, wanted=always))
    assert all(most)


def test_what_fails_fails_where_it_is_awaited_and_nothing_more_begins() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise InvalidValue("no good")
        return number

    results = side_by_side(work, range(100_000), at_once=1, wanted=always)
    assert next(results) == 0
    with pytest.raises(InvalidValue, match="no good"):
        next(results)
    assert len(begun) < 100_000


def test_nobody_waits_for_work_that_is_no_longer_wanted() -> None:
    never = threading.Event()
    answers: Iterator[bool] = iter([True, False])
    with pytest.raises(Unavailable, match="Nobody waits"):
        aside(never.wait, wanted=lambda: next(answers))
    never.set()


def test_one_piece_of_work_gives_its_result() -> None:
    assert aside(lambda: 7, wanted=always) == 7


def test_nothing_to_do_is_done_at_once() -> None:
    assert list(side_by_side(str, [], at_once=4, wanted=always)) == []
