"""The time."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time. Leases do not ask it: theirs is the database's."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
