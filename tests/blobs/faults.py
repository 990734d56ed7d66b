"""Disks that fail at the k-th call."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class FaultyFile:
    """A raw file whose writes can fail, or take a part only."""

    def __init__(self, file: Any, fault: "Fault") -> None:  # noqa: ANN401
        self._file = file
        self._fault = fault

    def write(self, data: memoryview) -> int:
        self._fault.step("write", lambda: self._file.write(data[: len(data) // 2]))
        # A short write is no error: the rest comes with the next call.
        return int(self._file.write(data[: max(1, len(data) * 2 // 3)]))

    def fileno(self) -> int:
        return int(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class Fault:
    """Counts the calls that reach the disk; the k-th fails with `number`."""

    def __init__(self, k: int, number: int) -> None:
        self.k = k
        self.number = number
        self.n_calls = 0
        self.name: str | None = None

    def step(self, name: str, half_way: Callable[[], object] = lambda: None) -> None:
        self.n_calls += 1
        if self.n_calls == self.k:
            self.name = name
            half_way()
            raise OSError(self.number, os.strerror(self.number))


@contextmanager
def failing(k: int, number: int = errno.ENOSPC) -> Iterator[Fault]:
    """Every open for writing, write, fsync, mkdir, rename and link counts; the k-th fails."""
    fault = Fault(k, number)
    real_open, real_rename, real_mkdir = Path.open, Path.rename, Path.mkdir
    real_fsync, real_link = os.fsync, Path.hardlink_to

    def faulty_open(path: Path, mode: str = "r", *args: Any, **named: Any) -> Any:  # noqa: ANN401
        if "x" not in mode:
            return real_open(path, mode, *args, **named)
        fault.step("open")
        return FaultyFile(real_open(path, mode, *args, **named), fault)

    def faulty_rename(path: Path, target: Path) -> Path:
        fault.step("rename")
        return real_rename(path, target)

    def faulty_link(path: Path, target: Path) -> None:
        fault.step("link")
        real_link(path, target)

    def faulty_mkdir(path: Path, *args: Any, **named: Any) -> None:  # noqa: ANN401
        fault.step("mkdir")
        real_mkdir(path, *args, **named)

    def faulty_fsync(descriptor: int) -> None:
        fault.step("fsync")
        real_fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", faulty_open)
        patch.setattr(Path, "rename", faulty_rename)
        patch.setattr(Path, "hardlink_to", faulty_link)
        patch.setattr(Path, "mkdir", faulty_mkdir)
        patch.setattr(os, "fsync", faulty_fsync)
        yield fault
