"""A file on its way in: to disk, hashed and checked in one pass over its bytes."""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tunery.core.access import Caller
from tunery.core.checker import FileReport, RowChecker
from tunery.core.errors import InvalidFile, InvalidValue, TooLarge
from tunery.core.files import File
from tunery.core.ids import new_id
from tunery.core.ports import Blobs, Clock

TRAINING = "fine-tune"
PURPOSES = ("assistants", "batch", TRAINING, "vision", "user_data", "evals")
SHORTEST_EXPIRY_S = 3_600
LONGEST_EXPIRY_S = 2_592_000
UNNAMED = "upload"
"""How OpenAI's clients name bytes that came without a file name."""
_LONGEST_NAME = 255


@dataclass(frozen=True, kw_only=True)
class FileRequest:
    """What a caller says about a file, beside its bytes.

    Raises:
        InvalidValue: the purpose, the name or the time to live cannot be right.
    """

    filename: str
    purpose: str
    expires_after_s: int | None = None
    echo: Mapping[str, object] = field(default_factory=dict)
    """Per dialect, what it must give back and nobody else has a use for."""

    def __post_init__(self) -> None:
        """Refuse what no file can be."""
        check_purpose(self.purpose)
        _check_name(self.filename, is_training=self.purpose == TRAINING)
        seconds = self.expires_after_s
        if seconds is not None and not SHORTEST_EXPIRY_S <= seconds <= LONGEST_EXPIRY_S:
            raise InvalidValue(
                f"expires_after.seconds is {seconds}; "
                f"it must be from {SHORTEST_EXPIRY_S} to {LONGEST_EXPIRY_S}",
                param="expires_after",
            )

    def expires_at(self, created_at: datetime) -> datetime | None:
        """When a file of that age ends; None for never."""
        if self.expires_after_s is None:
            return None
        return created_at + timedelta(seconds=self.expires_after_s)


class Intake:
    """Takes one file. Its methods block: call them in a thread, one after another.

    Whoever has one finishes or discards it.
    """

    def __init__(
        self,
        blobs: Blobs,
        clock: Clock,
        *,
        caller: Caller,
        max_bytes: int,
        is_checked: bool,
        record: Callable[[File], None],
    ) -> None:
        """Begin; `record` keeps the file once its bytes are durable.

        Without `is_checked` the rows are not looked at, so that it can be no training file.
        """
        self._blobs = blobs
        self._clock = clock
        self._caller = caller
        self._max_bytes = max_bytes
        self._record = record
        self._id = new_id("file-")
        self._sha256 = hashlib.sha256()
        self._checker = RowChecker() if is_checked else None
        self._size_bytes = 0
        self._checking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="check")
        self._writer = blobs.writer(f"files/{self._id}")

    def write(self, block: bytes) -> None:
        """Append `block`; from about a mebibyte on it is worth a thread.

        Raises:
            TooLarge: the file is above the limit.
            OutOfSpace: the disk is full.
        """
        self._size_bytes += len(block)
        if self._size_bytes > self._max_bytes:
            raise TooLarge(
                f"The file is larger than {self._max_bytes} bytes, which is this server's limit.",
                param="file",
            )
        # Writing and hashing let go of the interpreter, so that the check runs meanwhile.
        checked = self._checking.submit(self._check, block)
        self._writer.write(block)
        self._sha256.update(block)
        checked.result()

    def finish(self, request: FileRequest) -> File:
        """Keep the file, durably.

        Raises:
            InvalidFile: it is to be trained on and cannot be; every problem is named.
        """
        self._checking.shutdown()
        file = self._file(request)
        self._writer.commit()
        try:
            self._record(file)
        except BaseException:
            self._blobs.delete(file.blob)
            raise
        return file

    def discard(self) -> None:
        """Leave nothing behind. After `finish` it does nothing."""
        self._checking.shutdown()
        self._writer.discard()

    def _check(self, block: bytes) -> None:
        if self._checker is not None:
            self._checker.feed(block)

    def _file(self, request: FileRequest) -> File:
        report = self._good_report() if request.purpose == TRAINING else None
        created_at = self._clock.now()
        return File(
            id=self._id,
            project_id=self._caller.project_id,
            created_at=created_at,
            filename=request.filename,
            purpose=request.purpose,
            size_bytes=self._size_bytes,
            sha256=self._sha256.hexdigest(),
            expires_at=request.expires_at(created_at),
            format=report.format if report else None,
            n_rows=report.n_rows if report else None,
            created_by=self._caller.user_id,
            created_by_type=self._caller.identity_type,
            echo=request.echo,
        )

    def _good_report(self) -> FileReport:
        if self._checker is None:
            raise ValueError("a training file must be checked from its first byte")
        report = self._checker.finish()
        if report.n_errors:
            raise invalid(report)
        return report


def check_purpose(purpose: str) -> None:
    """Refuse, with InvalidValue, a purpose that no file has."""
    if purpose not in PURPOSES:
        raise InvalidValue(
            f"purpose is {purpose[:80]!r}; it must be one of {', '.join(PURPOSES)}",
            param="purpose",
        )


def invalid(report: FileReport) -> InvalidFile:
    """The refusal of a training file, which begins with OpenAI's sentence where that fits."""
    errors = [problem for problem in report.problems if problem.level == "error"]
    count = "1 error" if report.n_errors == 1 else f"{report.n_errors} errors"
    message = f"The file has {count}; nothing was kept."
    if report.first_not_object is not None:
        message = (
            "Expected file to have JSONL format, where every line is a JSON dictionary. "
            f"Line {report.first_not_object} is not a dictionary. {message}"
        )
    return InvalidFile(message, errors)


def _check_name(filename: str, *, is_training: bool) -> None:
    shown = repr(filename[:80])
    if not filename or len(filename.encode()) > _LONGEST_NAME:
        raise InvalidValue(
            f"the file's name has {len(filename)} characters; 1 to {_LONGEST_NAME} are allowed",
            param="file",
        )
    if filename in (".", "..") or set(filename) & set("/\\") or not filename.isprintable():
        raise InvalidValue(
            f"the file's name is {shown}; send a name without folders and control characters",
            param="file",
        )
    if is_training and filename != UNNAMED and not filename.lower().endswith(".jsonl"):
        raise InvalidValue(
            f"the file's name is {shown}; a training file's name ends in .jsonl "
            f'(or is "{UNNAMED}", as clients call bytes that have none)',
            param="file",
        )
