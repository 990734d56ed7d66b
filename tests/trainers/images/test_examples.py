"""What is learnt from is encoded before the first step, once."""

import gc
import weakref
from pathlib import Path
from threading import Event

import pytest
import torch
from diffusers import FluxPipeline
from scripts.tiny_image.pictures import KNOWN

from tests.modeling.test_flux import write_flux
from tests.trainers.images.conftest import TINY_IMAGE, rings
from tunery.core.method import Priority
from tunery.core.progress import Metrics, RunRequest
from tunery.modeling.flow import Flow, encoded_pictures, encoded_prompts
from tunery.modeling.flux import load_pipeline
from tunery.trainers.images import preparation
from tunery.trainers.images.attempt import carry_out
from tunery.trainers.images.examples import by_size, encoded, shelved
from tunery.trainers.images.known import STEPS, draw, known_prompts, telling_words
from tunery.trainers.images.pictures import Picture

CAPTIONS = ["a red TOK", "one TOK on a blue background"]


@pytest.fixture(scope="module")
def tiny() -> FluxPipeline:
    return load_pipeline(str(TINY_IMAGE), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> FluxPipeline:
    """Configured as FLUX.1-dev is, for pictures of 1,024 pixels."""
    folder = write_flux(tmp_path_factory.mktemp("flux"))
    return load_pipeline(str(folder), device=torch.device("cpu"))


def test_what_is_kept_is_what_the_pipeline_makes_of_each_picture_and_caption(
    tiny: FluxPipeline,
) -> None:
    pictures = [Picture(image=image, caption=caption) for image, caption in rings(3)]
    captions = [str(picture.caption) for picture in pictures]
    [found] = encoded(
        tiny,
        pictures,
        captions,
        trigger_word="TOK",
        priority="quality",
        n_learnt=9,
        seed=1,
        autocast=None,
    )
    assert found.size == (32, 32)
    for place, picture in enumerate(pictures):
        pixels = tiny.image_processor.preprocess(picture.image)
        with torch.no_grad():
            latents = tiny.vae.encode(pixels).latent_dist.mean
            tokens, pooled, _ = tiny.encode_prompt(captions[place], None, max_sequence_length=16)
        shift, scale = tiny.vae.config.shift_factor, tiny.vae.config.scaling_factor
        packed = FluxPipeline._pack_latents((latents - shift) * scale, 1, 8, 8, 8)
        torch.testing.assert_close(found.latents[place : place + 1], packed)
        torch.testing.assert_close(found.prompts.tokens[place : place + 1], tokens)
        torch.testing.assert_close(found.prompts.pooled[place : place + 1], pooled)


@pytest.mark.parametrize(("priority", "keeps"), [("quality", True), ("speed", False)])
def test_only_for_speed_nothing_of_what_is_known_is_kept(
    tiny: FluxPipeline, priority: Priority, keeps: bool
) -> None:
    pictures = [Picture(image=image, caption=caption) for image, caption in rings(2)]
    [found] = encoded(
        tiny,
        pictures,
        [str(picture.caption) for picture in pictures],
        trigger_word="TOK",
        priority=priority,
        n_learnt=4,
        seed=1,
        autocast=None,
    )
    [shelf] = shelved(tiny, [found], seed=1, autocast=None)
    assert (shelf.known is not None) is keeps


def test_pictures_of_one_size_are_learnt_together(large: FluxPipeline) -> None:
    sizes = [(1024, 1024), (3000, 2000), (990, 1010), (1500, 1000), (500, 500)]
    rows = {(1024, 1024): [0, 2], (1248, 832): [1, 3], (512, 512): [4]}
    assert by_size(large, sizes, "quality") == rows
    assert by_size(large, sizes, "speed") == rows
    assert by_size(large, sizes, "high_res_only") == {(1024, 1024): [0, 2]}


def test_a_model_of_one_small_square_learns_that(tiny: FluxPipeline) -> None:
    assert by_size(tiny, [(512, 512), (300, 1000), (32, 32)], "quality") == {(32, 32): [0, 1, 2]}


def test_the_vae_and_the_text_encoders_are_gone_when_learning_begins(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {}

    def loaded(model: str) -> FluxPipeline:
        pipeline = load_pipeline(model)
        for name in ("vae", "text_encoder", "text_encoder_2", "transformer"):
            held[name] = weakref.ref(getattr(pipeline, name))
        return pipeline

    monkeypatch.setattr(preparation, "load_pipeline", loaded)
    assert request_.subject is not None
    values = carry_out(request_, request_.subject, Event())
    seen = []
    for value in values:
        if isinstance(value, Metrics):
            gc.collect()
            seen.append({name for name, part in held.items() if part() is not None})
    assert seen == [{"transformer"}] * 8


def test_what_is_known_is_the_bases_own_way_from_noise(tiny: FluxPipeline) -> None:
    flow = Flow(tiny, (32, 32))
    prompts = encoded_prompts(tiny, ["", "a red circle", "a blue square"])
    known = draw(flow, prompts, seed=3)
    assert known.states.shape == known.velocities.shape == (3, STEPS, 16, 32)
    assert known.times.tolist() == [1 - step / STEPS for step in range(STEPS)]
    velocity = known.velocities
    torch.testing.assert_close(known.states[:, 1:], known.states[:, :-1] - velocity[:, :-1] / STEPS)
    with torch.no_grad():
        again = flow.velocity(known.states[:, 5], known.times[5].expand(3), prompts)
    torch.testing.assert_close(again, velocity[:, 5], rtol=1e-4, atol=1e-5)
    assert not velocity.requires_grad


def test_known_prompts_are_the_captions_with_other_words_or_empty() -> None:
    words = ["circle", "square"]
    prompts = known_prompts(CAPTIONS, "TOK", words, n=64, seed=5)
    assert prompts == known_prompts(CAPTIONS, "TOK", words, n=64, seed=5)
    assert prompts != known_prompts(CAPTIONS, "TOK", words, n=64, seed=6)
    assert prompts.count("") == 8
    assert set(prompts) == {
        "",
        *(caption.replace("TOK", word) for caption in CAPTIONS for word in words),
    }


def test_words_that_say_something_to_the_base_are_told_from_those_that_say_nothing(
    tiny: FluxPipeline,
) -> None:
    """Most of what its tokenizer has are colours, places and broken words."""
    pictures = rings(4)
    latents = torch.cat(
        [encoded_pictures(tiny, tiny.image_processor.preprocess(image)) for image, _ in pictures]
    )
    captions = [str(caption) for _, caption in pictures]
    words = telling_words(tiny, Flow(tiny, (32, 32)), latents, captions, "TOK", seed=1)
    assert len(words) == 18
    assert len(set(KNOWN) & set(words)) >= 8
    assert not {"TOK", "shape", "thing", "one", "backgrou"} & set(words)


def test_a_base_whose_schedule_shifts_is_drawn_and_taught_with_that_shift(
    large: FluxPipeline, tmp_path: Path
) -> None:
    """At 4,096 latents FLUX.1's schedule has the shift e^1.15."""
    flow = Flow(large, (1024, 1024))
    large.scheduler.set_timesteps(sigmas=[0.25, 0.5, 0.75], mu=1.15)
    expected = large.scheduler.sigmas[:3]
    torch.testing.assert_close(flow.shifted(torch.tensor([0.25, 0.5, 0.75])), expected)
