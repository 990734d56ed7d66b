"""Blobs in a folder: what is seen is whole and on disk, and nothing else is left."""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tunery.core.errors import OutOfSpace
from tunery.core.ports import BlobWriter

PIECE_BYTES = 1024**2
_INCOMING = ".incoming"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FolderBlobs:
    """A blob `a/b` is the file `<root>/a/b`.

    Bytes arrive in `<root>/.incoming/<process>`, on the same file system, so that making a blob
    visible is one rename. Each process holds a lock on its own such folder: one without a lock was
    left by a process that died, and goes when the next one opens.
    """

    def __init__(self, root: Path) -> None:
        """Open the folder `root`, made if need be, and sweep what dead processes left there."""
        self._root = root.absolute()
        self._incoming = self._root / _INCOMING
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._own = self._incoming / secrets.token_hex(8)
        self._own.mkdir()
        self._lock = _lock(self._own)

    def writer(self, key: str) -> BlobWriter:
        """Begin to write the blob `key`."""
        return FolderWriter(self._own / secrets.token_hex(8), self.path(key), self._root)

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of a blob in pieces; FileNotFoundError before the first where it is gone."""
        return _pieces(self.path(key).open("rb", buffering=0))

    def path(self, key: str) -> Path:
        """Where the blob or folder lies on this machine.

        Raises:
            ValueError: the key could lead out of the folder.
        """
        names = key.split("/")
        if any(name in ("", ".", "..", _INCOMING) or "\0" in name for name in names):
            raise ValueError(f"{key!r} is no blob key")
        return self._root.joinpath(*names)

    def delete(self, key: str) -> None:
        """Remove a blob or a folder with all in it; nothing happens where there is none."""
        path = self.path(key)
        try:
            path.unlink(missing_ok=True)
        except (IsADirectoryError, PermissionError):
            # macOS answers EPERM where Linux answers EISDIR.
            if not path.is_dir():
                raise
            shutil.rmtree(path)

    def names(self, key: str) -> Sequence[str]:
        """What lies in the folder `key`, by name; nothing where there is no such folder."""
        folder = self.path(key)
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ()

    def _sweep(self) -> None:
        for folder in self._incoming.iterdir():
            try:
                lock = _lock(folder)
            except (BlockingIOError, NotADirectoryError):
                continue
            shutil.rmtree(folder)
            os.close(lock)


class FolderWriter:
    """Bytes on their way into a file."""

    def __init__(self, temporary: Path, target: Path, root: Path) -> None:
        """Write to `temporary`, which becomes `target`, somewhere below `root`."""
        self._temporary = temporary
        self._target = target
        self._root = root
        self._is_open = True
        with _clear_errors():
            # buffering=0: blocks are large, and every error shows at the write that met it.
            self._file: BinaryIO = temporary.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append `data`."""
        left = memoryview(data)
        with _clear_errors():
            while left:
                # A disk that fills up may take a part only.
                left = left[self._file.write(left) :]

    def commit(self) -> None:
        """Make the blob durable and visible, in one moment; one that was there is replaced."""
        self._commit(lambda: self._temporary.rename(self._target))

    def commit_first(self) -> bool:
        """As `commit`, but never in the place of another: False, where the key has a blob."""
        try:
            # Unlike a rename, a link is refused where there is something of that name.
            self._commit(lambda: self._target.hardlink_to(self._temporary))
        except FileExistsError:
            return False
        finally:
            self.discard()
        return True

    def discard(self) -> None:
        """Leave nothing behind. After `commit` it does nothing."""
        if self._is_open:
            self._is_open = False
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _commit(self, put_in_place: Callable[[], object]) -> None:
        with _clear_errors():
            os.fsync(self._file.fileno())
            self._file.close()
            folder = self._target.parent
            _make_folder(folder, self._root)
            put_in_place()
            try:
                _sync_folder(folder)
            except OSError:
                self._target.unlink()
                raise


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OutOfSpace(
            "The server's disk is full; nothing was kept. Free some space, or delete files."
        ) from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _make_folder(folder: Path, root: Path) -> None:
    """Make `folder` so that it is still there after a power cut."""
    if folder.is_dir() or folder == root:
        return
    _make_folder(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """Hold `folder` until this process ends; BlockingIOError where another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
