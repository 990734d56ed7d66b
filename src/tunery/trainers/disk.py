"""What it looks like when the disk is full, and when it soon will be."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from tunery.core.progress import Note

# The best, the last three, and the one that is being written.
_KEPT_CHECKPOINTS = 5


def is_full(error: OSError) -> bool:
    """Whether `error` says that there is no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def about_room(blobs: Path, checkpoint_bytes: int) -> list[Note]:
    """A word of warning where the checkpoints that are kept, and the next, do not fit."""
    needed = _KEPT_CHECKPOINTS * checkpoint_bytes
    free = shutil.disk_usage(blobs).free
    if free > needed:
        return []
    message = (
        f"The disk is nearly full: {free / 2**20:.0f} MiB are free, and the checkpoints of this "
        f"job may take {needed / 2**20:.0f} MiB."
    )
    return [Note(level="warn", message=message)]
