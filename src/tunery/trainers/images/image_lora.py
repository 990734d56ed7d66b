"""Tuning of an image model on a subject: velocity matching on straight flows to noise.

A picture's latents z and noise n are joined by the line x = (1 - t) z + t n, along which the model
learns the velocity n - z (rectified flow: Liu et al. 2022, eq. 1). Times are drawn logit-normal,
and shifted as the model's schedule is (Esser et al. 2024, eq. 19 and 23), which weights the middle
of the way; as diffusers' recipe for FLUX does. Beside that the model keeps what the base does on
its own ways (`known`). Axes as in `modeling.flow`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from tunery.core.method import FinetuneType
from tunery.core.progress import Note
from tunery.modeling.flow import Flow, Prompts, generator, joined
from tunery.trainers import memory
from tunery.trainers.budget import Budget
from tunery.trainers.failures import NotFinite
from tunery.trainers.images.examples import Shelf
from tunery.trainers.images.known import GUIDANCE

_log = logging.getLogger(__name__)

UNGUIDED = 1.0
"""What a guidance-distilled model is told while it learns a picture: no guidance."""
KEEPING: Mapping[FinetuneType, float] = {"full": 0.75, "lora": 1.5}
"""How much what is known counts, beside 1 for what is learnt.

An adapter learns tiny-image's new shapes more easily than all weights do, and lets go of more.
"""
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The rows of one step: states, the velocity that each should have, and how much it counts."""

    flow: Flow
    states: Tensor
    """(B, T, C)."""
    times: Tensor
    """(B,)."""
    prompts: Prompts
    guidance: Tensor
    """(B,)."""
    velocities: Tensor
    """(B, T, C)."""
    weights: Tensor
    """(B,)."""
    n_pictures: int
    """The first rows are of pictures; the others are of what is known."""

    def __len__(self) -> int:
        """How many rows."""
        return len(self.times)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one optimizer step gave; the loss is the mean over its pictures' latents, squared."""

    number: int
    loss: float
    seconds: float
    learning_rate: float


def learn(
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    lessons: Iterable[Lesson],
    rate: Callable[[int], float],
    budget: Budget,
    *,
    first_step: int = 1,
) -> Iterator[Step | Note]:
    """Take one optimizer step per lesson, and say what each gave.

    Raises:
        NotFinite: the gradient is no finite number; the weights are as they were.
    """
    for number, lesson in enumerate(lessons, start=first_step):
        began = time.perf_counter()
        loss = yield from gradient(parameters, lesson, budget)
        norm = nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        if not norm.isfinite():
            raise NotFinite(f"in step {number}, the norm of the gradient is {float(norm)}")
        for group in optimizer.param_groups:
            group["lr"] = rate(number)
        optimizer.step()
        yield Step(
            number=number,
            loss=loss,
            seconds=time.perf_counter() - began,
            learning_rate=rate(number),
        )


def lessons(
    shelves: Sequence[Shelf],
    *,
    batch_size: int,
    n_steps: int,
    seed: int,
    keeping: float,
    first_step: int = 1,
) -> Iterator[Lesson]:
    """The lessons from `first_step` on; each follows from its step and the seed alone.

    `keeping` is how much what is known counts.
    """
    for step, (place, rows) in enumerate(
        draws([len(shelf) for shelf in shelves], batch_size=batch_size, n_steps=n_steps, seed=seed),
        start=1,
    ):
        if step >= first_step:
            yield lesson(shelves[place], rows, generator(seed, step), keeping)


def lesson(shelf: Shelf, rows: Sequence[int], random: torch.Generator, keeping: float) -> Lesson:
    """Pictures `rows` of a shelf at times by chance, and half as many states of what is known.

    More of these held the known shapes of tiny-image no better, and cost a sixth more time.
    """
    new = _of_pictures(shelf, torch.tensor(rows), random)
    if shelf.known is None:
        return new
    return _together(new, _of_known(shelf, math.ceil(len(rows) / 2), random, keeping))


def draws(
    sizes: Sequence[int], *, batch_size: int, n_steps: int, seed: int
) -> Iterator[tuple[int, list[int]]]:
    """For each step a shelf, by how many pictures it has, and pictures of it.

    A shelf's pictures come in turn, shuffled anew each time round, so that each is learnt equally
    often.
    """
    random = Random(seed)
    decks: list[list[int]] = [[] for _ in sizes]
    for _ in range(n_steps):
        [place] = random.choices(range(len(sizes)), weights=sizes)
        rows = []
        for _ in range(batch_size):
            if not decks[place]:
                decks[place] = random.sample(range(sizes[place]), sizes[place])
            rows.append(decks[place].pop())
        yield place, rows


def gradient(
    parameters: Sequence[nn.Parameter], lesson: Lesson, budget: Budget
) -> Generator[Note, None, float]:
    """Let the gradient of one lesson stand in the parameters.

    Cutting it into more micro-batches changes memory, not the gradient. Each time that memory runs
    out, it is tried again with half of the rows at a time.

    Returns:
        The mean loss of its pictures.
    """
    while True:
        for parameter in parameters:
            parameter.grad = None
        try:
            return sum(_backward(some) for some in _cut(lesson, budget)) / lesson.n_pictures
        except (MemoryError, RuntimeError) as error:
            if not memory.is_out_of_memory(error) or budget.max_rows == 1:
                raise
            _log.warning("out of memory with %d rows: %s", budget.max_rows, error)
        # Outside of the handler, which holds on to the tensors of the pass that failed.
        before = min(budget.max_rows, len(lesson))
        budget.max_rows = before
        budget.halve()
        memory.let_go(lesson.flow.device)
        yield Note(
            level="warn",
            message=f"Out of memory with {before} pictures at a time; going on with "
            f"{budget.max_rows}. This changes nothing but the pace.",
        )


def losses(lesson: Lesson) -> Tensor:
    """(B,): how far the model's velocity is from the lesson's, squared, in the mean."""
    found = lesson.flow.velocity(lesson.states, lesson.times, lesson.prompts, lesson.guidance)
    return (found.float() - lesson.velocities).square().mean((1, 2))


def _backward(lesson: Lesson) -> float:
    """Add the lesson's gradient to what stands; give back the sum of its pictures' losses."""
    each = losses(lesson)
    (each * lesson.weights).sum().backward()
    return float(each[: lesson.n_pictures].detach().sum())


def _of_pictures(shelf: Shelf, rows: Tensor, random: torch.Generator) -> Lesson:
    flow, n = shelf.flow, len(rows)
    times = flow.shifted(_logit_normal(n, random)).to(flow.device)
    noise = torch.randn(n, *flow.shape, generator=random).to(flow.device)
    latents = shelf.latents[rows]
    part = times[:, None, None]
    return Lesson(
        flow=flow,
        states=(1 - part) * latents + part * noise,
        times=times,
        prompts=shelf.prompts[rows],
        guidance=torch.full((n,), UNGUIDED, device=flow.device),
        velocities=noise - latents,
        weights=torch.full((n,), 1 / n, device=flow.device),
        n_pictures=n,
    )


def _logit_normal(n: int, random: torch.Generator) -> Tensor:
    """(n,): times whose logits are normal, one from each of `n` equally likely parts.

    Kingma et al. 2021, appendix I.1: the mean over a batch then depends less on chance.
    """
    parts = torch.arange(n) + torch.rand(n, generator=random)
    return torch.sigmoid(torch.special.ndtri((parts / n).clamp(1e-6, 1 - 1e-6)))


def _of_known(shelf: Shelf, n: int, random: torch.Generator, keeping: float) -> Lesson:
    flow, known = shelf.flow, shelf.known
    assert known is not None
    prompts = torch.randint(len(known.prompts), (n,), generator=random)
    steps = torch.randint(len(known.times), (n,), generator=random)
    return Lesson(
        flow=flow,
        states=known.states[prompts, steps],
        times=known.times[steps].to(flow.device),
        prompts=known.prompts[prompts],
        guidance=torch.full((n,), GUIDANCE, device=flow.device),
        velocities=known.velocities[prompts, steps],
        weights=torch.full((n,), keeping / n, device=flow.device),
        n_pictures=0,
    )


def _together(first: Lesson, then: Lesson) -> Lesson:
    """Both in one pass."""
    return Lesson(
        flow=first.flow,
        states=torch.cat([first.states, then.states]),
        times=torch.cat([first.times, then.times]),
        prompts=joined([first.prompts, then.prompts]),
        guidance=torch.cat([first.guidance, then.guidance]),
        velocities=torch.cat([first.velocities, then.velocities]),
        weights=torch.cat([first.weights, then.weights]),
        n_pictures=first.n_pictures,
    )


def _cut(lesson: Lesson, budget: Budget) -> Iterator[Lesson]:
    """The lesson as micro-batches within the budget."""
    for start in range(0, len(lesson), budget.max_rows):
        rows = slice(start, start + budget.max_rows)
        yield Lesson(
            flow=lesson.flow,
            states=lesson.states[rows],
            times=lesson.times[rows],
            prompts=lesson.prompts[rows],
            guidance=lesson.guidance[rows],
            velocities=lesson.velocities[rows],
            weights=lesson.weights[rows],
            n_pictures=max(0, min(lesson.n_pictures - start, budget.max_rows)),
        )
