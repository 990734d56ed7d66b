import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tunery.core.errors import InvalidValue
from tunery.service.webhooks import few_at_a_time, webhook


def refuse(host: str, port: int) -> None:
    raise InvalidValue(f"{host} is not public", code="host_not_allowed")


def test_hosts_that_take_long_to_be_found_hold_up_only_a_few_callers() -> None:
    looking, found = threading.Semaphore(0), threading.Event()

    def slow(host: str, port: int) -> None:
        looking.release()
        assert found.wait(20)
        refuse(host, port)

    check = few_at_a_time(slow, most=2)

    def ask() -> str | None:
        told = webhook("https://slow.example/", None, door="bfl", link_base="", check_host=check)
        return None if told is None else told.url

    with ThreadPoolExecutor(2) as callers:
        held = [callers.submit(ask) for _ in range(2)]
        for _ in held:
            assert looking.acquire(timeout=20)
        # Not looked for now: that is done again before anything is sent.
        assert ask() == "https://slow.example/"
        found.set()
    assert [type(each.exception()) for each in held] == [InvalidValue] * 2
    with pytest.raises(InvalidValue):
        ask()
