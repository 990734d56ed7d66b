import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "megabytes", [300, pytest.param(1000, marks=pytest.mark.long)], ids=["300 MB", "1 GB"]
)
def test_a_large_file_takes_little_memory(tmp_path: Path, megabytes: int) -> None:
    command = [sys.executable, "-m", "tests.service.large", str(tmp_path), str(megabytes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (file,) = (tmp_path / "files").iterdir()
    assert file.stat().st_size > megabytes * 990_000
    file.unlink()
    assert float(done.stdout) < 100, "MB above idle"
