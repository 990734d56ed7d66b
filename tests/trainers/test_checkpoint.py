"""A checkpoint is there whole, or not at all."""

import os
from pathlib import Path

import pytest

from tunery.trainers.checkpoint import DamagedCheckpoint, verify, whole


def made(folder: Path) -> Path:
    with whole(folder) as partial:
        (partial / "a").write_bytes(b"one")
        (partial / "b").write_bytes(b"two" * 1_000_000)
    return folder


def test_a_whole_checkpoint_is_verified(tmp_path: Path) -> None:
    verify(made(tmp_path / "x"))
    assert {path.name for path in tmp_path.iterdir()} == {"x"}


@pytest.mark.parametrize("name", ["a", "b", "manifest.json"])
def test_every_file_counts(name: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "x")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-3] + b"ABC")
    with pytest.raises(DamagedCheckpoint):
        verify(folder)
    (folder / name).write_bytes(content)
    verify(folder)
    (folder / name).unlink()
    with pytest.raises(DamagedCheckpoint):
        verify(folder)


def test_what_was_never_written_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(DamagedCheckpoint):
        verify(tmp_path / "none")


@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.rename", "pathlib.Path.write_text"])
def test_an_error_at_any_moment_leaves_nothing(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(moment, fail)
    with pytest.raises(OSError, match="Input/output"):
        made(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_died_while_writing_left_nothing_that_counts(tmp_path: Path) -> None:
    (tmp_path / ".x.partial").mkdir()
    (tmp_path / ".x.partial" / "old").write_bytes(b"half")
    folder = made(tmp_path / "x")
    assert {path.name for path in folder.iterdir()} == {"a", "b", "manifest.json"}


def test_files_reach_the_disk_before_the_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(handle: int) -> None:
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def noted_rename(path: Path, target: Path) -> Path:
        order.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    made(tmp_path / "x")
    assert set(order[:3]) == {"a", "b", "manifest.json"}
    assert order[3:] == [".x.partial", "rename", tmp_path.name]
