"""What can go wrong, in the domain's words.

A message says what is wrong, with the value, and what would be right. `param` names the core's
parameter; a dialect renames it and renders the error in its own format.
"""

from collections.abc import Sequence
from typing import ClassVar

from tunery.core.problems import Problem


class TuneryError(Exception):
    """The root of everything that Tunery refuses or fails to do for a reason it knows."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        """Keep `message` for the caller, the core's name of the parameter, and a stable code."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code


class Unauthenticated(TuneryError):
    """No key, or one that opens nothing."""

    status = 401
    default_code = "invalid_api_key"


class NotFound(TuneryError):
    """There is no such thing in the caller's project, whether or not another project has it."""

    status = 404

    def __init__(
        self, kind: str, name: str, *, param: str | None = None, message: str | None = None
    ) -> None:
        """`kind` is the thing's name in the core's words, such as "job" or "golden record"."""
        super().__init__(message or f"There is no {kind} {name!r}.", param=param)
        self.kind = kind
        self.name = name


class InvalidValue(TuneryError):
    """A parameter has a value that it cannot have."""

    status = 400
    default_code = "invalid_value"


class InvalidFile(InvalidValue):
    """A data file has problems; all that were found (the first 100) are named."""

    default_code = "invalid_file"

    def __init__(
        self,
        message: str,
        problems: Sequence[Problem],
        *,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        """`problems` are in the order of the file's lines."""
        super().__init__(message, param=param, code=code)
        self.problems = tuple(problems)


class InvalidTransition(TuneryError):
    """A job cannot make this move from the state that it is in."""

    status = 400
    default_code = "invalid_state"


class Unsupported(TuneryError):
    """What was asked exists in the API but not (or not yet) here."""

    status = 400
    default_code = "unsupported"


class TooLarge(TuneryError):
    """More bytes than the limit allows."""

    status = 413
    default_code = "too_large"


class TooSlow(TuneryError):
    """More time than the limit allows."""

    status = 408
    default_code = "too_slow"


class Conflict(TuneryError):
    """The same idempotency key came with another request."""

    status = 409
    default_code = "idempotency_key_reused"


class TooMany(TuneryError):
    """As much is under way for the caller as may be at a time."""

    status = 429
    default_code = "rate_limit_exceeded"


class Unavailable(TuneryError):
    """It cannot be done now, and may be later."""

    status = 503
    default_code = "unavailable"


class OutOfSpace(TuneryError):
    """There is no room left on the server's disk."""

    status = 507
    default_code = "out_of_space"


class QueryFailed(TuneryError):
    """A customer's database refused a statement, or was not to be reached; in its own words."""

    status = 400
    default_code = "query_failed"


class LeaseLost(TuneryError):
    """The run no longer belongs to the worker that reports on it."""

    status = 409
    default_code = "lease_lost"
