from pathlib import Path

import pytest

from tests.service.bad_files import BAD_FILES, GOOD, line
from tests.store.values import MovableClock
from tunery.blobs.folder import FolderBlobs
from tunery.core.access import Caller
from tunery.core.errors import InvalidFile, InvalidValue
from tunery.core.pages import PageRequest
from tunery.service.files import Files
from tunery.service.intake import FileRequest
from tunery.store.memory import MemoryStore

CALLER = Caller(organization_id="o", project_id="p", user_id="u", key_id="k")

BAD_NAMES = [
    "", ".", "..", "train.csv", "train.json", "train.jsonl.gz", "train", "jsonl", "../train.jsonl",
    "/etc/train.jsonl", "a/b.jsonl", "a\\b.jsonl", "C:\\train.jsonl", "a\0.jsonl", "a\n.jsonl",
    "\x1b[31m.jsonl", "a" * 250 + ".jsonl", "é" * 130 + ".jsonl", "train.jsonl/", "\u202egpj.jsonl",
]  # fmt: skip


def left_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def upload(root: Path, data: bytes, filename: str = "train.jsonl") -> MemoryStore:
    clock = MovableClock()
    store = MemoryStore(clock)
    files = Files(store, FolderBlobs(root), clock, max_file_bytes=64 * 1024**2)
    intake = files.begin(CALLER, purpose="fine-tune")
    try:
        for start in range(0, len(data), 1024**2):
            intake.write(data[start : start + 1024**2])
        intake.finish(FileRequest(filename=filename, purpose="fine-tune"))
    finally:
        intake.discard()
    return store


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_by_line_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    data, expected = BAD_FILES[name]
    with pytest.raises(InvalidFile) as caught:
        upload(tmp_path, data)
    said = [str(problem) for problem in caught.value.problems]
    assert any(expected in problem for problem in said), said
    assert all(len(problem) < 400 for problem in said)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("filename", BAD_NAMES)
def test_a_bad_name_is_refused_and_nothing_is_left(filename: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="the file's name") as caught:
        upload(tmp_path, line(GOOD), filename)
    assert caught.value.param == "file"
    assert left_in(tmp_path) == []


def test_the_first_words_are_those_of_the_official_service(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile) as caught:
        upload(tmp_path, line(GOOD) + b"{\n" + b"[]\n")
    assert str(caught.value).startswith(
        "Expected file to have JSONL format, where every line is a JSON dictionary. "
        "Line 2 is not a dictionary"
    )
    assert caught.value.param is None


@pytest.mark.parametrize("filename", ["train.jsonl", "TRAIN.JSONL", "upload", "größe 1.jsonl"])
def test_a_good_file_is_kept(filename: str, tmp_path: Path) -> None:
    store = upload(tmp_path, line(GOOD) * 3, filename)
    (file,) = store.files("p", PageRequest(limit=2), purpose=None).items
    assert (file.filename, file.n_rows) == (filename, 3)
    assert [path.read_bytes() for path in left_in(tmp_path)] == [line(GOOD) * 3]
