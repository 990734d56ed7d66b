"""`tunery demo --images`: against canned answers in a moment, and for real."""

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from scripts.rings import main as make_rings

from tests.cli.conftest import CommandLine
from tests.cli.fake import Asked, Canned, FakeServer
from tests.cli.objects import page
from tests.cli.test_demo import demo
from tests.dialects.pictures import picture
from tests.e2e.bfl import RINGS, captions, is_ring
from tunery.cli.grid import grid
from tunery.cli.picture_demo import PAIRS, example

FINETUNE_ID = "ftjob-0123456789abcdef01234567"
READY = {"status": "Ready", "details": None, "progress": None}


@pytest.fixture
def ready(server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeServer:
    """A server that runs already on the port of the settings."""
    monkeypatch.setenv("TUNERY_PORT", str(server.port))
    monkeypatch.chdir(tmp_path)
    sample = f"{server.url}/v1/images/1?expires=1&signature=2"
    server.on("GET /v1/models", page())
    server.on("POST /v1/finetune", {"finetune_id": FINETUNE_ID})
    server.on("GET /v1/get_result", {**READY, "id": "1", "result": {"sample": sample}})
    server.on("POST /v1/flux-pro-finetuned", {"id": "1"})
    server.on("GET /v1/images/1", Canned(raw=picture(), content_type="image/png"))
    return server


def test_the_demo_shows_base_and_tuned_pictures_side_by_side(
    ready: FakeServer, tunery: CommandLine, tmp_path: Path
) -> None:
    ended = tunery("demo", "--images")
    assert ended.code == 0, ended.err
    assert f"trained {FINETUNE_ID}" in ended.out
    drawn = tmp_path / "tunery-demo.png"
    assert str(drawn) in ended.out
    assert Image.open(io.BytesIO(drawn.read_bytes())).format == "PNG"


def test_base_and_tuned_model_are_asked_for_the_same(
    ready: FakeServer, tunery: CommandLine
) -> None:
    asked: list[dict[str, object]] = []

    def drawing(request: Asked) -> Canned:
        asked.append(request.json)
        return Canned({"id": "1"})

    ready.on("POST /v1/flux-pro-finetuned", drawing)
    tunery("demo", "--images")
    strengths = [one.pop("finetune_strength") for one in asked]
    assert strengths == [0.0] * len(PAIRS) + [1.0] * len(PAIRS)
    assert asked[: len(PAIRS)] == asked[len(PAIRS) :]


def test_a_finetune_that_fails_fails_the_demo(ready: FakeServer, tunery: CommandLine) -> None:
    failed = {"id": "1", "status": "Error", "details": {"message": "It is so."}, "progress": None}
    ready.on("GET /v1/get_result", failed)
    ended = tunery("demo", "--images")
    assert ended.code == 1
    assert "It is so." in ended.err


def test_the_printed_program_draws(ready: FakeServer, tmp_path: Path) -> None:
    code = example(ready.url, "tnr-sk-test", FINETUNE_ID, "a red TOK")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "drawn.jpg").read_bytes() == picture()


def test_the_bundled_pictures_are_those_of_the_script(tmp_path: Path) -> None:
    make_rings(tmp_path / "rings.zip")
    assert _entries((tmp_path / "rings.zip").read_bytes()) == _entries(RINGS)


def test_what_is_asked_for_was_not_taught() -> None:
    taught = captions()
    assert len(taught) == 12
    assert not [pair for pair in PAIRS if f"{pair[0]} TOK on a {pair[1]} " in " ".join(taught)]


def test_every_bundled_picture_is_a_ring() -> None:
    with zipfile.ZipFile(io.BytesIO(RINGS)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert all(is_ring(archive.read(name)) for name in names)


def test_a_grid_has_a_row_and_a_column_for_each() -> None:
    one = Image.open(io.BytesIO(grid([[picture()]], above=["a"], beside=["b"])))
    four = Image.open(io.BytesIO(grid([[picture()] * 2] * 2, above=["a", "b"], beside=["c", "d"])))
    assert four.width - one.width == four.height - one.height > 0


@pytest.mark.long
@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_the_demo_of_images_runs_and_so_does_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with demo(tmp_path / "home", "--images", until="Ctrl-C stops it") as printed:
        code = re.search(r"^import time, httpx.*?\.content\)$", "".join(printed), re.M | re.S)
        assert code is not None, printed
        subprocess.run([sys.executable, "-c", code[0]], cwd=tmp_path, timeout=300, check=True)
    drawn = Image.open(io.BytesIO((tmp_path / "drawn.jpg").read_bytes()))
    assert drawn.size == (1024, 768)
    assert (tmp_path / "tunery-demo.png").stat().st_size < 100_000


def _entries(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
