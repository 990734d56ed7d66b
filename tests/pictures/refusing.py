"""Reads bad archives in a process of its own: `python -m tests.pictures.refusing FOLDER`.

Prints by how many MB the most memory it ever had is above what it had after a good one. What
Pillow's decoders take is in it, which Python's own account of memory does not see.
"""

import sys
from pathlib import Path

from tests.pictures.building import a_jpeg, zipped
from tests.service.large import most_memory_mb
from tunery.core.errors import InvalidValue
from tunery.pictures.reading import ArchiveReader


def main(folder: Path) -> None:
    """Refuse all that lie in `folder`, and say what that took."""
    reader = ArchiveReader()
    reader.read_set(zipped({"a.jpg": a_jpeg()}))
    idle = most_memory_mb()
    for archive in folder.iterdir():
        try:
            reader.read_set(archive.read_bytes())
        except InvalidValue:
            continue
        raise AssertionError(archive)
    sys.stdout.write(f"{most_memory_mb() - idle:.1f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
