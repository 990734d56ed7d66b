"""How a command ends when it cannot do what it was asked: one sentence, and a next step."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a script can tell from the exit status."""

    OK = 0
    JOB_FAILED = 1
    BAD_INPUT = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class Failure(Exception):
    """A command cannot go on; the person at the terminal reads why, and what to do."""

    def __init__(self, message: str, *, next_step: str, code: ExitCode) -> None:
        """`next_step` is an instruction, such as a command to type."""
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.code = code


_FIND_A_KEY = (
    "Set TUNERY_API_KEY to a key of this server. On its own machine, its first start left one "
    "in `TUNERY_HOME/credentials`."
)
_ANOTHER_METHOD = "Choose a --method that fits; `tunery check FILE` says what format a file has."
_BY_CODE = {
    "invalid_state": "`tunery jobs show JOB` shows where a job stands.",
    "invalid_training_file": _ANOTHER_METHOD,
    "invalid_validation_file": _ANOTHER_METHOD,
}
_LISTS = {
    "fine_tune_id": "`tunery jobs list` shows the jobs there are.",
    "id": "`tunery files list` shows the files there are.",
    "training_file": "Upload it first: `tunery files upload FILE`.",
    "validation_file": "Upload it first: `tunery files upload FILE`.",
    "model": "`tunery models list` shows the models there are.",
    "key_id": "`tunery keys list` shows the keys there are.",
}


def refusal(status: int, body: Mapping[str, Any], *, request_id: str | None = None) -> Failure:
    """The server's answer `body` with an HTTP `status` of 400 or more, as a failure."""
    error = body.get("error")
    known: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    message = str(known.get("message") or f"The server answered with status {status}.")
    code, next_step = _consequence(status, known)
    if request_id is not None and status >= 500:
        next_step += f" The request was {request_id}."
    return Failure(message, next_step=next_step, code=code)


def _consequence(status: int, error: Mapping[str, Any]) -> tuple[ExitCode, str]:
    """The exit code and the next step for a refused request."""
    if status == 401:
        return ExitCode.REFUSED, _FIND_A_KEY
    if status == 403:
        return ExitCode.REFUSED, "Use a key that may do this: `tunery keys list` shows yours."
    if status == 429:
        return ExitCode.REFUSED, "Wait for what is running to end, or ask who runs the server."
    if status == 413:
        return ExitCode.BAD_INPUT, "Send less, or raise TUNERY_MAX_FILE_BYTES on the server."
    if status == 503:
        return ExitCode.UNREACHABLE, "Try again in a moment; `/readyz` of the server says when."
    if status >= 500:
        return ExitCode.UNREACHABLE, "The server's log says more."
    if "x_tunery" in error:
        return ExitCode.BAD_INPUT, "Mend these lines; `tunery check FILE --model M` finds them all."
    next_step = _BY_CODE.get(str(error.get("code"))) or _LISTS.get(str(error.get("param")))
    return (
        ExitCode.BAD_INPUT,
        next_step or "Change what the message names; `--help` shows the choices.",
    )
