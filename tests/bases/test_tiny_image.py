"""The image base that comes with the package is small, whole, and draws what it is asked for."""

from importlib.resources import as_file, files

import pytest
import torch
from diffusers import FluxPipeline
from scripts.tiny_image.judge import colours
from scripts.tiny_image.measure import draw

FOLDER = files("tunery.bases") / "tiny-image"
MOST_BYTES = 15_000_000
ASKED = [("red", "white"), ("blue", "yellow"), ("black", "pink"), ("yellow", "purple")]


@pytest.fixture(scope="module")
def pipeline() -> FluxPipeline:
    with as_file(FOLDER) as folder:
        found = FluxPipeline.from_pretrained(folder)
    found.set_progress_bar_config(disable=True)
    return found


def test_it_is_small_and_holds_no_pickles() -> None:
    with as_file(FOLDER) as folder:
        kept = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in kept) < MOST_BYTES
    assert {path.suffix for path in kept} == {".json", ".safetensors", ".md"}


def test_it_draws_in_the_colours_that_are_asked_for(pipeline: FluxPipeline) -> None:
    pictures = draw(pipeline, [f"a {ink} square on a {paper} background" for ink, paper in ASKED])
    assert [colours(picture) for picture in pictures] == ASKED


def test_the_same_seed_gives_the_same_picture(pipeline: FluxPipeline) -> None:
    one, again, other = (draw(pipeline, ["a green star"], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
