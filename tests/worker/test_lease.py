"""Holding on to a job."""

import threading

import pytest

from tunery.core.errors import LeaseLost, Unavailable
from tunery.worker.lease import Heartbeat


class Renewals:
    """A store that can renew a lease so often, and then fails."""

    def __init__(self, n_good: int, failure: Exception) -> None:
        self.n_left = n_good
        self._failure = failure

    def renew(self) -> None:
        if self.n_left == 0:
            raise self._failure
        self.n_left -= 1


def heartbeat(renewals: Renewals) -> Heartbeat:
    return Heartbeat(renewals.renew, "ftjob-1", lease_s=0.1)


def test_a_lease_that_is_gone_is_lost_at_once() -> None:
    renewals = Renewals(2, LeaseLost("it is another's"))
    with heartbeat(renewals) as held:
        assert held.lost.wait(10)
    assert renewals.n_left == 0


def test_a_lease_that_cannot_be_renewed_is_lost_before_it_ends() -> None:
    with heartbeat(Renewals(0, Unavailable("the database is away"))) as held:
        assert held.lost.wait(10)


def test_a_heartbeat_that_fails_for_a_reason_nobody_foresaw_gives_the_lease_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with heartbeat(Renewals(0, ZeroDivisionError())) as held:
        assert held.lost.wait(10)
