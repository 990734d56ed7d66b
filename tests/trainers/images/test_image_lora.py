"""One step: what it learns, and that how it is cut changes nothing."""

from collections import Counter

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from tests.modeling.test_flux import write_flux
from tests.trainers.images.conftest import TINY_IMAGE
from tunery.modeling.flow import Flow, Prompts, encoded_prompts, generator
from tunery.modeling.flux import load_pipeline
from tunery.trainers.budget import Budget
from tunery.trainers.failures import NotFinite
from tunery.trainers.images.examples import Shelf
from tunery.trainers.images.image_lora import (
    Lesson,
    draws,
    gradient,
    learn,
    lesson,
    lessons,
    losses,
)
from tunery.trainers.images.known import draw
from tunery.trainers.images.weights import AdapterWeights, FullWeights, Parameters

CPU = torch.device("cpu")


def shelf_of(pipeline: FluxPipeline, *, known: bool) -> Shelf:
    """Five made-up pictures."""
    flow = Flow(pipeline, (32, 32))
    prompts = encoded_prompts(pipeline, ["a red TOK", "TOK", "one TOK", "a TOK", "a big TOK"])
    others = encoded_prompts(pipeline, ["", "a circle", "a red star"])
    return Shelf(
        flow=flow,
        latents=torch.randn(5, *flow.shape, generator=generator("latents")),
        prompts=prompts,
        known=draw(flow, others, seed=1) if known else None,
    )


@pytest.fixture
def tiny() -> FluxPipeline:
    return load_pipeline(str(TINY_IMAGE), device=CPU)


def shaken(weights: AdapterWeights) -> Parameters:
    """The parameters of an adapter that does something already."""
    with torch.no_grad():
        for name, weight in weights.parameters.items():
            weight.normal_(std=0.02, generator=generator(name))
    return weights.parameters


def gradients(
    parameters: Parameters, lesson: Lesson, rows: int
) -> tuple[float, dict[str, torch.Tensor]]:
    def drained() -> float:
        steps = gradient(list(parameters.values()), lesson, Budget(rows))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return float(end.value)

    loss = drained()
    return loss, {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}


def recipe(
    pipeline: FluxPipeline,
    latents: torch.Tensor,
    noise: torch.Tensor,
    u: torch.Tensor,
    prompts: Prompts,
    guidance_scale: float,
) -> torch.Tensor:
    """The loss as diffusers' example for FLUX takes it, `u` and `noise` being given.

    After examples/dreambooth/train_dreambooth_lora_flux.py, with weighting scheme "logit_normal"
    for the times, which weights the loss by 1; (B, C/4, height, width) latents.
    """
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    transformer = pipeline.transformer
    n, channels, height, width = latents.shape
    indices = (u * scheduler.config.num_train_timesteps).long()
    timesteps = scheduler.timesteps[indices]
    sigmas = scheduler.sigmas[indices].view(-1, 1, 1, 1)
    noisy = (1.0 - sigmas) * latents + sigmas * noise
    guidance = None
    if transformer.config.guidance_embeds:
        guidance = torch.tensor([guidance_scale]).expand(n)
    found = transformer(
        hidden_states=FluxPipeline._pack_latents(noisy, n, channels, height, width),
        timestep=timesteps / 1000,
        guidance=guidance,
        pooled_projections=prompts.pooled,
        encoder_hidden_states=prompts.tokens,
        txt_ids=torch.zeros(prompts.tokens.shape[1], 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(
            n, height // 2, width // 2, CPU, torch.float32
        ),
        return_dict=False,
    )[0]
    scale = pipeline.vae_scale_factor
    found = FluxPipeline._unpack_latents(found, height * scale, width * scale, scale)
    target = noise - latents
    loss: torch.Tensor = ((found.float() - target.float()) ** 2).reshape(n, -1).mean(1).mean()
    return loss


def unpacked(pipeline: FluxPipeline, packed: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = FluxPipeline._unpack_latents(packed, 32, 32, pipeline.vae_scale_factor)
    return found


@pytest.mark.parametrize("base", ["tiny-image", "as FLUX.1-dev"])
def test_a_step_without_keeping_is_that_of_diffusers_own_recipe(
    base: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = TINY_IMAGE if base == "tiny-image" else write_flux(tmp_path_factory.mktemp("flux"))
    pipeline = load_pipeline(str(folder), device=CPU)
    # The recipe leaves a shift that depends on the size out; so does this comparison.
    pipeline.register_modules(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0 if base == "tiny-image" else 3.0)
    )
    shelf = shelf_of(pipeline, known=False)
    weights = AdapterWeights(pipeline.transformer, r=4, lora_alpha=4, seed=0)
    parameters = shaken(weights)
    rows = [3, 0, 0, 4]

    # The recipe's times are those of a schedule of 1,000 steps; ours are continuous. So it is
    # given the first of these, and ours the times that they are.
    u = torch.tensor([0.1, 0.45, 0.75, 0.9])
    scheduler = pipeline.scheduler
    times = scheduler.sigmas[(u * 1000).long()]
    noise = torch.randn(4, *shelf.flow.shape, generator=generator("noise"))
    latents = shelf.latents[rows]
    ours = Lesson(
        flow=shelf.flow,
        states=(1 - times[:, None, None]) * latents + times[:, None, None] * noise,
        times=times,
        prompts=shelf.prompts[torch.tensor(rows)],
        guidance=torch.ones(4),
        velocities=noise - latents,
        weights=torch.full((4,), 0.25),
        n_pictures=4,
    )
    loss, found = gradients(parameters, ours, 64)

    pipeline.transformer.zero_grad()
    theirs = recipe(
        pipeline, unpacked(pipeline, latents), unpacked(pipeline, noise), u, ours.prompts, 1.0
    )
    theirs.backward()
    assert loss == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert set(found) == set(parameters)
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_lesson_is_made_of_lines_from_pictures_to_noise(tiny: FluxPipeline) -> None:
    shelf = shelf_of(tiny, known=False)
    found = lesson(shelf, [2, 4], generator(7, 1), 0.75)
    times = found.times[:, None, None]
    torch.testing.assert_close(found.states - times * found.velocities, shelf.latents[[2, 4]])
    noise = found.states + (1 - times) * found.velocities
    torch.testing.assert_close(noise.mean(), torch.tensor(0.0), atol=0.1, rtol=0)
    torch.testing.assert_close(noise.std(), torch.tensor(1.0), atol=0.1, rtol=0)
    assert found.weights.tolist() == [0.5, 0.5]


def test_times_are_logit_normal(tiny: FluxPipeline) -> None:
    found = lesson(shelf_of(tiny, known=False), [0] * 4000, generator(7, 1), 0.75)
    logits = torch.logit(found.times)
    assert float(logits.mean()) == pytest.approx(0, abs=0.06)
    assert float(logits.std()) == pytest.approx(1, abs=0.04)


def test_the_times_of_a_step_are_spread_evenly_over_what_is_likely(tiny: FluxPipeline) -> None:
    found = lesson(shelf_of(tiny, known=False), [0] * 4, generator(7, 1), 0.75)
    quartiles = torch.sigmoid(torch.tensor([-0.67449, 0.0, 0.67449]))
    assert torch.bucketize(found.times.sort().values, quartiles).tolist() == [0, 1, 2, 3]


def test_what_is_known_comes_in_the_same_pass_and_counts_as_a_whole(tiny: FluxPipeline) -> None:
    shelf = shelf_of(tiny, known=True)
    found = lesson(shelf, [2, 4], generator(7, 1), 0.75)
    assert found.n_pictures == 2
    assert len(found) > 2
    assert float(found.weights[2:].sum()) == pytest.approx(0.75)
    with torch.no_grad():
        kept = losses(found)[2:]
    assert float(kept.max()) < 1e-8
    alone = lesson(shelf_of(tiny, known=False), [2, 4], generator(7, 1), 0.75)
    torch.testing.assert_close(found.states[:2], alone.states)


def test_a_lesson_follows_from_its_seed_and_step_alone(tiny: FluxPipeline) -> None:
    shelf = shelf_of(tiny, known=True)

    def taught(first_step: int, seed: int = 3) -> list[torch.Tensor]:
        torch.randn(first_step)
        found = lessons(
            [shelf], batch_size=2, n_steps=6, seed=seed, keeping=0.75, first_step=first_step
        )
        return [each.states for each in found]

    whole = taught(1)
    for ours, theirs in zip(taught(4), whole[3:], strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], taught(1, seed=4)[0])


def test_every_picture_is_learnt_equally_often() -> None:
    seen: Counter[tuple[int, int]] = Counter()
    for place, rows in draws([7, 3], batch_size=3, n_steps=400, seed=1):
        assert len(rows) == 3
        seen.update((place, row) for row in rows)
    for place, n in ((0, 7), (1, 3)):
        counts = [seen[place, row] for row in range(n)]
        assert max(counts) - min(counts) <= 1
    assert sum(seen[0, row] for row in range(7)) / 1200 == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_micro_batches_do_not_change_the_gradient(rows: int, tiny: FluxPipeline) -> None:
    shelf = shelf_of(tiny, known=True)
    parameters = shaken(AdapterWeights(tiny.transformer, r=4, lora_alpha=4, seed=0))
    taught = lesson(shelf, [0, 1, 2, 3], generator(1), 0.75)
    whole, expected = gradients(parameters, taught, 64)
    loss, found = gradients(parameters, taught, rows)
    assert loss == pytest.approx(whole, rel=1e-5)
    for name, gradient_ in expected.items():
        torch.testing.assert_close(found[name], gradient_, rtol=1e-4, atol=1e-6)


def test_computing_activations_twice_does_not_change_the_gradient(tiny: FluxPipeline) -> None:
    shelf = shelf_of(tiny, known=True)
    parameters = shaken(AdapterWeights(tiny.transformer, r=4, lora_alpha=4, seed=0))
    taught = lesson(shelf, [0, 1, 2, 3], generator(1), 0.75)
    _, expected = gradients(parameters, taught, 64)
    tiny.transformer.enable_gradient_checkpointing()
    _, found = gradients(parameters, taught, 64)
    for name, gradient_ in expected.items():
        torch.testing.assert_close(found[name], gradient_, rtol=1e-4, atol=1e-6)


def test_running_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    tiny: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = shelf_of(tiny, known=False)
    parameters = shaken(AdapterWeights(tiny.transformer, r=4, lora_alpha=4, seed=0))
    taught = lesson(shelf, [0, 1, 2, 3], generator(1), 0.75)
    _, expected = gradients(parameters, taught, 64)
    velocity = Flow.velocity

    def small(flow: Flow, states: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if len(states) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return velocity(flow, states, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Flow, "velocity", small)
    budget = Budget(64)
    notes = list(gradient(list(parameters.values()), taught, budget))
    assert budget.max_rows == 2
    [note] = notes
    assert "with 4 pictures at a time; going on with 2" in note.message
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


def test_a_gradient_that_is_not_a_number_leaves_the_weights_alone(tiny: FluxPipeline) -> None:
    shelf = shelf_of(tiny, known=False)
    shelf.latents[1, 0, 0] = torch.nan
    weights = FullWeights(tiny.transformer, r=4, base=TINY_IMAGE / "transformer")
    before = {name: weight.detach().clone() for name, weight in weights.parameters.items()}
    parameters = list(weights.parameters.values())
    steps = learn(
        parameters,
        torch.optim.AdamW(parameters),
        [lesson(shelf, [0, 1], generator(1), 0.75)],
        lambda step: 1e-3,
        Budget(64),
        first_step=12,
    )
    with pytest.raises(NotFinite, match="step 12"):
        list(steps)
    for name, weight in weights.parameters.items():
        assert torch.equal(weight, before[name])
