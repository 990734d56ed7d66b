"""Holding on to work while it is done: a heartbeat in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from tunery.core.errors import LeaseLost, TuneryError

logger = logging.getLogger(__name__)


class Heartbeat:
    """Renews a lease every third of its length; `lost` is set as soon as it may be somebody else's.

    A store that does not answer is asked again until the lease is nearly over: by then the trainer
    must have been stopped, because another worker may have claimed the job (I4).
    """

    def __init__(self, renew: Callable[[], object], what: str, *, lease_s: float) -> None:
        """`renew` holds `what` for `lease_s` more; LeaseLost where it is gone.

        Nothing is renewed before the block is entered, and nothing after it.
        """
        self._renew = renew
        self._what = what
        self._lease_s = lease_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {what}", daemon=True)
        self.lost = threading.Event()

    def __enter__(self) -> "Heartbeat":
        """Begin to renew."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop renewing; the lease then runs out by itself unless it was given back."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        try:
            self._renew_until_ended()
        finally:
            # Also where the store failed in a way that nobody foresaw: nobody renews any more.
            self.lost.set()

    def _renew_until_ended(self) -> None:
        pause = self._lease_s / 3
        safe_until = time.monotonic() + 2 * pause
        while not self._ended.wait(pause):
            asked = time.monotonic()
            try:
                self._renew()
            except LeaseLost:
                return
            except TuneryError as error:
                logger.warning("cannot renew the lease of %s: %s", self._what, error)
                pause = self._lease_s / 12
            else:
                pause = self._lease_s / 3
                safe_until = asked + 2 * pause
            if time.monotonic() > safe_until:
                return
