"""In a container, the memory that counts is the container's."""

from pathlib import Path

import psutil
import pytest

from tunery import main_memory

GIB = 2**30


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(text)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def asked(mounted: Path, membership: str) -> tuple[int, int]:
    own = mounted.parent / "membership"
    own.write_text(membership)
    return main_memory.total_bytes(own, mounted), main_memory.free_bytes(own, mounted)


def test_without_groups_it_is_the_machines(tmp_path: Path) -> None:
    total = main_memory.total_bytes(tmp_path / "none", tmp_path)
    assert total == psutil.virtual_memory().total
    free = main_memory.free_bytes(tmp_path / "none", tmp_path)
    assert 0 < free <= total
    assert 0 < main_memory.free_bytes() <= main_memory.total_bytes() <= total


def test_the_second_version_counts_unused_cache_as_free(mounted: Path) -> None:
    group(mounted, max=f"{GIB}\n", current=f"{GIB // 2}\n", stat="anon 7\ninactive_file 1024\n")
    assert asked(mounted, "0::/\n") == (GIB, GIB // 2 + 1024)


def test_the_tightest_limit_above_holds(mounted: Path) -> None:
    group(mounted / "a" / "b", max="max\n", current="5\n", stat="")
    group(mounted / "a", max=f"{GIB}\n", current=f"{GIB + 5}\n", stat="inactive_file 1\n")
    assert asked(mounted, "0::/a/b\n") == (GIB, 0)


@pytest.mark.parametrize("name", ["/docker/1f", "/", "/seen/from/outside"])
def test_the_first_version_is_read_where_the_container_sees_it(mounted: Path, name: str) -> None:
    files = {"limit_in_bytes": f"{GIB}\n", "usage_in_bytes": "100\n"}
    group(mounted / "memory", **files, stat="cache 9\ntotal_inactive_file 40\n")
    found = asked(mounted, f"9:name=systemd:/x\n4:cpu,memory:{name}\n0::/\n")
    assert found == (GIB, min(GIB - 60, psutil.virtual_memory().available))


def test_no_limit_and_nonsense_are_no_limit(mounted: Path) -> None:
    group(mounted / "memory", limit_in_bytes=str(2**63 - 4096), usage_in_bytes="1", stat="")
    group(mounted, max="max", current="?", stat="")
    total, free = asked(mounted, "4:memory:/\n0::/\nwhat is this\n")
    assert total == psutil.virtual_memory().total
    assert free > 0
