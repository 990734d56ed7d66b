"""Starting child processes: forked from a warm parent where there is one, cold otherwise."""

import logging
import sys

from tunery.engines.child import Process, cold
from tunery.engines.warm import WarmParent

logger = logging.getLogger(__name__)


class Starter:
    """Starts the processes of an engine."""

    def __init__(self) -> None:
        """From cold, until there is a warm parent."""
        self._warm: WarmParent | None = None

    def warm_up(self) -> None:
        """Begin to import what every trainer needs, where trainers can be forked from that."""
        if sys.platform == "linux":
            self._warm = WarmParent()

    def is_ready(self) -> bool:
        """Whether there is nothing to wait for.

        Where the warm parent has ended by itself, or takes too long, processes start from cold.
        """
        warm = self._warm
        return warm is None or warm.is_ready or warm.has_failed or warm.is_late

    def wait_until_ready(self) -> None:
        """Wait for the warm parent, for as long as anyone should."""
        if self._warm is not None:
            self._warm.wait_until_ready()

    def process(self, module: str) -> Process:
        """A process that runs `module`, from what there is by now."""
        process = self._forked(module) or cold(module)
        logger.info("started %s as process %d", module, process.pid)
        return process

    def close(self) -> None:
        """End the warm parent; its children end when their own standard inputs close."""
        if self._warm is not None:
            self._warm.close()

    def _forked(self, module: str) -> Process | None:
        if self._warm is None or not self._warm.is_ready:
            return None
        try:
            return self._warm.fork(module)
        except OSError:
            logger.warning("the warm parent of trainers is gone; starting from cold")
            return None
