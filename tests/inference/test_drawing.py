"""What tiny-image draws: the same for the same request, whatever was drawn before."""

import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from numpy.typing import NDArray
from safetensors.torch import save_file

from tests.inference.tiny_image import TINY_IMAGE, asked, pixels, png, write_image_adapter
from tests.modeling.test_flux import write_flux
from tunery.core.errors import InvalidValue, Unsupported
from tunery.core.image_generations import PaintRequest
from tunery.inference.drawing import draw
from tunery.inference.easel import Easels
from tunery.modeling.flux import load_pipeline


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image_adapter(tmp_path_factory.mktemp("adapter"))


@pytest.fixture(scope="module")
def easels() -> Easels:
    return Easels()


@pytest.fixture(scope="module")
def source() -> bytes:
    """A blue field with a black frame, twice as wide as high."""
    field = np.zeros((60, 120, 3), np.uint8)
    field[5:-5, 5:-5] = (40, 60, 200)
    return png(field)


def drawn(easels: Easels, request: PaintRequest) -> bytes:
    return draw(easels, request, lambda share: None).image


def difference(one: bytes, other: bytes) -> float:
    return float(np.abs(pixels(one).astype(int) - pixels(other).astype(int)).mean())


def half_mask() -> NDArray[np.uint8]:
    """The right half is white."""
    mask = np.zeros((60, 120), np.uint8)
    mask[:, 60:] = 255
    return mask


def filling(source: bytes, mask: bytes | None, **changes: object) -> PaintRequest:
    settings = asked(None, **changes).settings
    return PaintRequest(
        location=TINY_IMAGE, adapter=None, settings=settings, source=source, mask=mask
    )


def test_the_model_draws_what_the_prompt_says(easels: Easels) -> None:
    picture = pixels(drawn(easels, asked(steps=None, guidance=None)))
    red, green, blue = picture[32, 32].astype(int)
    assert red > 150 > max(green, blue)
    assert picture[2, 2].min() > 200


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(easels: Easels) -> None:
    first = drawn(easels, asked(seed=1))
    assert drawn(easels, asked(seed=2)) != first
    assert drawn(easels, asked(seed=1)) == first
    assert drawn(Easels(), asked(seed=1)) == first


@pytest.mark.parametrize("seed", [-1, 2**64 - 1, 2**70])
def test_every_whole_number_is_a_seed(seed: int, easels: Easels) -> None:
    assert drawn(easels, asked(seed=seed, steps=1))


def test_at_strength_zero_the_picture_is_the_bases_to_the_last_bit(
    easels: Easels, adapter: Path
) -> None:
    base = drawn(Easels(), asked())
    tuned = drawn(easels, asked(adapter))
    assert difference(base, tuned) > 1
    assert drawn(easels, asked(adapter, strength=0.0)) == base
    assert drawn(easels, asked()) == base
    assert drawn(easels, asked(adapter)) == tuned


def test_more_strength_leads_further_from_the_base(easels: Easels, adapter: Path) -> None:
    base = drawn(easels, asked())
    far = [difference(base, drawn(easels, asked(adapter, strength=s))) for s in (0.05, 0.3, 1.0)]
    assert 0 < far[0] < far[1] < far[2]


def test_one_adapter_leaves_nothing_in_the_pictures_of_another(
    easels: Easels, adapter: Path, tmp_path: Path
) -> None:
    other = write_image_adapter(tmp_path / "other", seed=1)
    alone = {folder: drawn(Easels(), asked(folder)) for folder in (adapter, other)}
    assert alone[adapter] != alone[other]
    for folder in (adapter, other, adapter):
        assert drawn(easels, asked(folder)) == alone[folder]


def test_an_adapter_that_made_room_is_loaded_again(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunery.inference.easel._ADAPTERS", 1)
    other = write_image_adapter(tmp_path / "other", seed=1)
    easels = Easels()
    first = drawn(easels, asked(adapter))
    assert drawn(easels, asked(other)) != first
    pipeline = easels.easel(TINY_IMAGE).pipeline
    assert sum(len(names) for names in pipeline.get_list_adapters().values()) == 1
    assert drawn(easels, asked(adapter)) == first


def test_a_base_is_out_of_memory_before_another_is_loaded(
    easels: Easels, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flux = str(write_flux(tmp_path / "flux"))
    fresh = Easels()
    drawn(fresh, asked(adapter))
    first = weakref.ref(fresh.easel(TINY_IMAGE).pipeline.transformer)
    gone = []

    def load(location: str) -> FluxPipeline:
        gone.append(first() is None)
        return load_pipeline(location)

    monkeypatch.setattr("tunery.inference.easel.load_pipeline", load)
    request = asked(width=64, height=48, steps=2)
    large = PaintRequest(location=flux, adapter=None, settings=request.settings)
    assert pixels(drawn(fresh, large)).shape == (48, 64, 3)
    assert gone == [True]
    assert drawn(fresh, request) == drawn(easels, request)


@pytest.mark.parametrize(("width", "height"), [(256, 96), (96, 256), (100, 100)])
def test_tiny_image_gives_any_size(width: int, height: int, easels: Easels) -> None:
    picture = pixels(drawn(easels, asked(width=width, height=height)))
    assert picture.shape == (height, width, 3)
    # The square is in the middle, and its edges go on.
    margin = (max(width, height) - min(width, height)) // 2
    if width > height:
        assert (picture[:, 0] == picture[:, margin]).all()
    if height > width:
        assert (picture[0] == picture[margin]).all()


def test_how_far_it_is_rises_to_one_with_each_step(easels: Easels, source: bytes) -> None:
    for request in (asked(steps=5), filling(source, None, steps=5)):
        shares: list[float] = []
        draw(easels, request, shares.append)
        assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_what_is_raised_after_a_step_ends_the_work_and_the_next_image_is_whole(
    easels: Easels, adapter: Path
) -> None:
    whole = drawn(easels, asked(adapter))
    steps = []

    def stop(share: float) -> None:
        steps.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(easels, asked(adapter), stop)
    assert len(steps) == 1
    assert drawn(easels, asked(adapter)) == whole


def test_too_much_guidance_is_bounded(easels: Easels) -> None:
    assert drawn(easels, asked(guidance=100.0)) == drawn(easels, asked(guidance=5.0))
    assert drawn(easels, asked(guidance=2.0)) != drawn(easels, asked(guidance=5.0))


def test_filling_keeps_what_is_not_masked_and_changes_what_is(
    easels: Easels, source: bytes
) -> None:
    given = pixels(source)
    filled = pixels(drawn(easels, filling(source, png(half_mask()))))
    assert filled.shape == given.shape
    assert (filled[:, :60] == given[:, :60]).all()
    assert np.abs(filled[:, 60:].astype(int) - given[:, 60:]).mean() > 20


def test_without_a_mask_all_of_the_picture_is_drawn_anew(easels: Easels, source: bytes) -> None:
    filled = pixels(drawn(easels, filling(source, None)))
    assert np.abs(filled[:, :20].astype(int) - pixels(source)[:, :20]).mean() > 20
    everything = png(np.full((60, 120), 255, np.uint8))
    assert drawn(easels, filling(source, None)) == drawn(easels, filling(source, everything))


def test_with_a_black_mask_the_picture_comes_back(easels: Easels, source: bytes) -> None:
    nothing = png(np.zeros((60, 120), np.uint8))
    assert (pixels(drawn(easels, filling(source, nothing))) == pixels(source)).all()


def test_filling_uses_the_adapter_and_its_strength(
    easels: Easels, adapter: Path, source: bytes
) -> None:
    def filled(strength: float, folder: Path | None) -> bytes:
        settings = asked(strength=strength).settings
        request = PaintRequest(
            location=TINY_IMAGE,
            adapter=None if folder is None else str(folder),
            settings=settings,
            source=source,
            mask=png(half_mask()),
        )
        return drawn(easels, request)

    assert filled(1.0, adapter) != filled(1.0, None)
    assert filled(0.0, adapter) == filled(1.0, None)
    assert filled(1.0, adapter) == filled(1.0, adapter)


def test_filling_draws_in_the_mask_what_the_prompt_says(easels: Easels) -> None:
    paper = png(np.full((64, 64, 3), 255, np.uint8))
    mask = np.zeros((64, 64), np.uint8)
    mask[4:-4, 4:-4] = 255
    request = filling(paper, png(mask), steps=None, guidance=None)
    red, green, blue = pixels(drawn(easels, request))[32, 32].astype(int)
    assert red > 150 > max(green, blue)


def test_a_mask_of_another_size_is_refused(easels: Easels, source: bytes) -> None:
    with pytest.raises(InvalidValue) as refused:
        drawn(easels, filling(source, png(np.zeros((120, 60), np.uint8))))
    assert refused.value.param == "mask"


def test_a_model_that_is_not_there_is_refused(easels: Easels) -> None:
    settings = asked().settings
    with pytest.raises(InvalidValue, match="neither a folder"):
        drawn(easels, PaintRequest(location="nowhere", adapter=None, settings=settings))
    text = str(Path(TINY_IMAGE).with_name("tiny-chat"))
    with pytest.raises(Unsupported, match="must be a FluxPipeline"):
        drawn(easels, PaintRequest(location=text, adapter=None, settings=settings))
    assert drawn(easels, asked())


def test_an_adapter_that_was_deleted_is_said_to_be_gone_though_it_was_used_before(
    easels: Easels, adapter: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(adapter, copy)
    assert drawn(easels, asked(copy)) == drawn(easels, asked(adapter))
    shutil.rmtree(copy)
    for strength in (1.0, 0.0):
        with pytest.raises(InvalidValue, match="may have been deleted") as refused:
            drawn(easels, asked(copy, strength=strength))
        assert str(copy) not in refused.value.message


def test_an_adapter_that_does_not_fit_is_refused_and_leaves_nothing(
    easels: Easels, adapter: Path, tmp_path: Path
) -> None:
    before = drawn(easels, asked(adapter))
    names = easels.easel(TINY_IMAGE).pipeline.get_list_adapters()
    [file] = adapter.iterdir()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / file.name).write_bytes(file.read_bytes()[:-100])
    other = {
        "narrow": {"transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(4, 77)},
        "wide": {"transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(4, 256)},
        "name": {"no_such_block.0.lora_A.weight": torch.ones(4, 128)},
        "prefix": {"lora_A.weight": torch.ones(4, 128)},
    }
    for kind, tensors in other.items():
        write_lora(tmp_path / kind, tensors, file.name, prefix=kind != "prefix")
    for kind in ("cut", *other):
        with pytest.raises(InvalidValue, match="broken, or was made for another"):
            drawn(easels, asked(tmp_path / kind))
        assert easels.easel(TINY_IMAGE).pipeline.get_list_adapters() == names
    assert drawn(easels, asked(adapter)) == before


def write_lora(folder: Path, tensors: dict[str, torch.Tensor], name: str, *, prefix: bool) -> None:
    """A file with the A of one layer, and a B beside it."""
    folder.mkdir()
    both = tensors | {key.replace("lora_A", "lora_B"): torch.ones(128, 4) for key in tensors}
    start = "transformer." if prefix else ""
    save_file({start + key: tensor for key, tensor in both.items()}, folder / name)
