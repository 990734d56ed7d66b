"""What an attempt leaves behind: checkpoints, pictures on the way, and in the end the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tunery.core.progress import AnyProgress, Finished, Metrics, Note, Sampled
from tunery.modeling.flux_lora import save_lora
from tunery.trainers import checkpoint, disk
from tunery.trainers.images import checkpoints
from tunery.trainers.images.card import model_card
from tunery.trainers.images.preparation import Training
from tunery.trainers.leaving import checkpointed, handed_over


def save(training: Training, metrics: Metrics) -> Iterator[AnyProgress]:
    """Write a checkpoint."""
    write = partial(
        checkpoints.save,
        weights=training.weights,
        optimizer=training.optimizer,
        position=training.position,
    )
    return checkpointed(training, metrics, write)


def sample(training: Training) -> Iterator[AnyProgress]:
    """Draw what is drawn each time; a full disk costs the picture and not the job."""
    step, sampler = training.position.step, training.sampler
    key, path = training.folder(f"samples/{checkpoint.name(step)}.png")
    image = sampler.draw()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    except OSError as error:
        if not disk.is_full(error):
            raise
        yield Note(level="warn", message=f"The disk is full: no sample of step {step} was saved.")
        return
    yield Sampled(step=step, image=key, prompts=sampler.captions, seed=sampler.seed)


def hand_over(training: Training) -> Iterator[AnyProgress]:
    """Write the adapter, and say what of a full tuning it holds and where it is."""
    lora, kept = training.weights.lora()
    if training.subject.finetune_type == "full":
        yield Note(
            message=f"The adapter of rank {lora.r} holds {kept:.1%} of what the full tuning "
            "changed."
        )

    def write(folder: Path) -> None:
        save_lora(lora, folder)
        card = model_card(training.request, training.subject, training.position, kept)
        (folder / "README.md").write_text(card, encoding="utf-8")

    yield Finished(adapter=handed_over(training, write))
