import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.blobs.faults import failing
from tunery.blobs.folder import FolderBlobs
from tunery.core.errors import OutOfSpace


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def keep(blobs: FolderBlobs, key: str, *blocks: bytes, first: bool = False) -> None:
    writer = blobs.writer(key)
    try:
        for block in blocks:
            writer.write(block)
        if first:
            assert writer.commit_first()
        else:
            writer.commit()
    finally:
        writer.discard()


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


def test_a_blob_is_seen_once_it_is_committed(blobs: FolderBlobs, tmp_path: Path) -> None:
    writer = blobs.writer("files/a")
    writer.write(b"one ")
    writer.write(b"two")
    with pytest.raises(FileNotFoundError):
        blobs.read("files/a")
    writer.commit()
    writer.discard()
    assert b"".join(blobs.read("files/a")) == b"one two"
    assert files_in(tmp_path / "blobs") == ["files/a"]


def test_what_is_discarded_leaves_nothing(blobs: FolderBlobs, tmp_path: Path) -> None:
    writer = blobs.writer("files/a")
    writer.write(b"one")
    writer.discard()
    writer.discard()
    assert files_in(tmp_path) == []


def test_the_first_to_commit_stays(blobs: FolderBlobs, tmp_path: Path) -> None:
    first, second = blobs.writer("files/a"), blobs.writer("files/a")
    first.write(b"first")
    second.write(b"second")
    assert first.commit_first()
    assert not second.commit_first()
    for writer in (first, second):
        writer.discard()
    assert b"".join(blobs.read("files/a")) == b"first"
    assert files_in(tmp_path / "blobs") == ["files/a"]


def test_a_large_blob_is_read_in_pieces(blobs: FolderBlobs) -> None:
    data = os.urandom(3_000_000)
    keep(blobs, "big", data)
    pieces = list(blobs.read("big"))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == 1024**2


def test_a_blob_can_be_read_while_it_is_deleted(blobs: FolderBlobs) -> None:
    keep(blobs, "files/a", b"x" * 3_000_000)
    pieces = blobs.read("files/a")
    next(pieces)
    blobs.delete("files/a")
    assert sum(map(len, pieces)) == 3_000_000 - 1024**2


def test_a_blob_and_a_folder_can_be_deleted_twice(blobs: FolderBlobs, tmp_path: Path) -> None:
    keep(blobs, "uploads/u/1", b"x")
    keep(blobs, "uploads/u/2", b"x")
    keep(blobs, "files/a", b"x")
    for _ in range(2):
        blobs.delete("files/a")
        blobs.delete("uploads/u")
    blobs.delete("never/was")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "a//b",
        "a/",
        "a\0b",
        ".incoming/a",
    ],
)
def test_a_key_cannot_lead_out_of_the_folder(blobs: FolderBlobs, key: str) -> None:
    for use in (blobs.path, blobs.read, blobs.delete, blobs.writer):
        with pytest.raises(ValueError, match="is no blob key"):
            use(key)


def test_what_a_dead_process_left_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    living = FolderBlobs(root)
    writer = living.writer("files/living")
    writer.write(b"here")
    program = (
        "import os, sys; from pathlib import Path; from tunery.blobs.folder import FolderBlobs\n"
        f"FolderBlobs(Path({str(root)!r})).writer('files/dead').write(b'gone'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert len(files_in(root)) == 2
    FolderBlobs(root)
    assert len(files_in(root)) == 1
    writer.commit()
    assert files_in(root) == ["files/living"]


def test_something_foreign_among_the_temporary_files_does_no_harm(tmp_path: Path) -> None:
    FolderBlobs(tmp_path)
    (tmp_path / ".incoming" / "note.txt").write_text("hello")
    keep(FolderBlobs(tmp_path), "a", b"x")


@pytest.mark.parametrize("first", [False, True], ids=["commit", "commit_first"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_at_any_call_leaves_nothing(
    tmp_path: Path, number: int, first: bool
) -> None:
    # EIO is not put into words: nobody knows what it means for the disk.
    refusal = OSError if number == errno.EIO else OutOfSpace
    met = set()
    for k in range(1, 100):
        root = tmp_path / str(k)
        blobs = FolderBlobs(root)
        with failing(k, number) as fault, suppress(refusal):
            keep(blobs, "files/a", b"x" * 1000, b"y" * 1000, first=first)
        if fault.name is None:
            assert b"".join(blobs.read("files/a")) == b"x" * 1000 + b"y" * 1000
            break
        met.add(fault.name)
        assert files_in(root) == []
        keep(blobs, "files/b", b"later")
        assert b"".join(blobs.read("files/b")) == b"later"
    assert met == {"open", "write", "fsync", "mkdir", "link" if first else "rename"}
