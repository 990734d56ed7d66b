"""The main memory that processes may take: the machine's, or less where a container has a limit.

The limits are those of Linux's control groups, versions 2 and 1 (kernel documentation, "Control
Group v2", "Memory Resource Controller"); one that stands higher up holds for what is below.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNTED = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class _Version:
    """Where it stands what a group may have, has, and would give back at once: unused cache."""

    folder: str
    limit: str
    used: str
    cached: str


_V2 = _Version(folder="", limit="memory.max", used="memory.current", cached="inactive_file")
_V1 = _Version(
    folder="memory",
    limit="memory.limit_in_bytes",
    used="memory.usage_in_bytes",
    cached="total_inactive_file",
)


def total_bytes(membership: Path = _MEMBERSHIP, mounted: Path = _MOUNTED) -> int:
    """What there is."""
    limits = (limit for limit, _ in _limits(membership, mounted))
    return min([psutil.virtual_memory().total, *limits])


def free_bytes(membership: Path = _MEMBERSHIP, mounted: Path = _MOUNTED) -> int:
    """What is left of it now."""
    left = (max(0, limit - used) for limit, used in _limits(membership, mounted))
    return min([psutil.virtual_memory().available, *left])


def _limits(membership: Path, mounted: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of every group that this process is in."""
    for version, group in _groups(membership):
        top = mounted / version.folder
        folder = top / group.lstrip("/")
        # A container may see its own group as the top, and know a name that leads nowhere.
        for place in (folder, *folder.parents):
            if place.is_relative_to(top) and (found := _of(place, version)) is not None:
                yield found


def _groups(membership: Path) -> Iterator[tuple[_Version, str]]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            yield _V2, group
        elif "memory" in controllers.split(","):
            yield _V1, group


def _of(place: Path, version: _Version) -> tuple[int, int] | None:
    """None where there is no limit."""
    try:
        limit, used = int((place / version.limit).read_text()), (place / version.used).read_text()
        stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
        return limit, int(used) - int(stat.get(version.cached, 0))
    except (OSError, ValueError):
        # It has no such files, or the word "max" in them.
        return None
