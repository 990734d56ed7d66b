"""Takes in a large file in a process of its own: `python -m tests.service.large FOLDER MB`.

Prints by how many MB the most memory it ever had is above what it had at first.
"""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.store.values import OURS, MovableClock
from tunery.blobs.folder import FolderBlobs
from tunery.service.files import Files
from tunery.service.intake import FileRequest
from tunery.store.memory import MemoryStore

ROW = (
    b'{"messages": [{"role": "user", "content": "What is %d and one? '
    + b"Please think. " * 30
    + b'"}, {"role": "assistant", "content": "'
    + b"It is one more. " * 20
    + b'"}]}\n'
)


def blocks(megabytes: int) -> Iterator[bytes]:
    """So many blocks of about a megabyte, no two rows the same."""
    per_block = 1_000_000 // len(ROW)
    for block in range(megabytes):
        first = block * per_block
        yield b"".join(ROW % number for number in range(first, first + per_block))


def most_memory_mb() -> float:
    """The most memory that this process ever had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(folder: Path, megabytes: int) -> None:
    """Take the file in, and say what that took."""
    clock = MovableClock()
    files = Files(MemoryStore(clock), FolderBlobs(folder), clock, max_file_bytes=10**10)
    idle = most_memory_mb()
    intake = files.begin(OURS, purpose="fine-tune")
    for block in blocks(megabytes):
        intake.write(block)
    file = intake.finish(FileRequest(filename="train.jsonl", purpose="fine-tune"))
    assert file.n_rows == megabytes * (1_000_000 // len(ROW))
    sys.stdout.write(f"{most_memory_mb() - idle:.1f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
