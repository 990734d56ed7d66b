"""Work that waits for others, several at a time, given up as soon as nobody wants it."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import TypeVar

from tunery.core.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOK_EVERY_S = 0.5


def side_by_side(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    at_once: int,
    wanted: Callable[[], bool],
) -> Iterator[Result]:
    """What `work` makes of each of `items`, in their order; what it raises is raised here.

    Whoever stops listening stops what has not begun. What has begun is left to end by itself, in a
    thread that keeps no process alive.

    Raises:
        Unavailable: `wanted` says no; it is asked every half second and after each result.
    """
    futures: list[tuple[Item, Future[Result]]] = [(item, Future()) for item in items]
    todo: queue.SimpleQueue[tuple[Item, Future[Result]]] = queue.SimpleQueue()
    for each in futures:
        todo.put(each)
    for number in range(min(at_once, len(futures))):
        threading.Thread(
            target=_labour, args=(work, todo), name=f"side by side {number}", daemon=True
        ).start()
    try:
        for _, future in futures:
            while not wait([future], timeout=LOOK_EVERY_S).done:
                check_wanted(wanted)
            yield future.result()
            check_wanted(wanted)
    finally:
        for _, future in futures:
            future.cancel()


def aside(work: Callable[[], Result], *, wanted: Callable[[], bool]) -> Result:
    """The result of `work`, waited for only as long as it is `wanted`; see `side_by_side`."""
    [result] = side_by_side(lambda _: work(), [None], at_once=1, wanted=wanted)
    return result


def check_wanted(wanted: Callable[[], bool]) -> None:
    """Raise `Unavailable` where `wanted` says no."""
    if not wanted():
        raise Unavailable("Nobody waits for this work any more.")


def _labour(
    work: Callable[[Item], Result], todo: "queue.SimpleQueue[tuple[Item, Future[Result]]]"
) -> None:
    while True:
        try:
            item, future = todo.get_nowait()
        except queue.Empty:
            return
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work(item))
        except BaseException as error:  # it is raised where the result is awaited
            future.set_exception(error)
