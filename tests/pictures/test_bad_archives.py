import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.pictures.bad_archives import BAD_ARCHIVES, MIB
from tunery.core.errors import InvalidValue
from tunery.pictures.reading import ArchiveReader


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_a_bad_archive_is_refused_by_entry_in_little_memory(name: str) -> None:
    make, expected = BAD_ARCHIVES[name]
    archive = make()
    reader = ArchiveReader()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidValue) as caught:
            reader.read_set(archive)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert expected in str(caught.value)
    assert str(caught.value).startswith("file_data: ")
    assert caught.value.param == "file_data"
    assert len(str(caught.value)) < 400
    assert most < 16 * MIB


def test_all_of_them_together_take_little_memory(tmp_path: Path) -> None:
    for number, (make, _) in enumerate(BAD_ARCHIVES.values()):
        (tmp_path / f"{number}.zip").write_bytes(make())
    command = [sys.executable, "-m", "tests.pictures.refusing", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    largest = max(path.stat().st_size for path in tmp_path.iterdir()) / 1e6
    assert float(done.stdout) < largest + 30, "MB above idle"
