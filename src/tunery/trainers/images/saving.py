"""What an attempt leaves behind: checkpoints, pictures on the way, and in the end the adapter."""

from __future__ import annotations

from collections.abc import Iterator

from tunery.core.errors import OutOfSpace
from tunery.core.progress import AnyProgress, CheckpointSaved, Finished, Metrics, Note, Sampled
from tunery.modeling.flux_lora import save_lora
from tunery.trainers import checkpoint, disk
from tunery.trainers.images import checkpoints
from tunery.trainers.images.card import model_card
from tunery.trainers.images.preparation import Training


def save(training: Training, metrics: Metrics) -> Iterator[AnyProgress]:
    """Write a checkpoint; a full disk does not end a job that can still learn."""
    step = training.position.step
    key, folder = training.folder(checkpoint.name(step))
    try:
        checkpoints.save(
            folder,
            weights=training.weights,
            optimizer=training.optimizer,
            position=training.position,
        )
    except OSError as error:
        if not disk.is_full(error):
            raise
        yield Note(
            level="warn",
            message=f"The disk is full: the checkpoint of step {step} was not saved. The job goes "
            f"on; its last checkpoint is that of step {training.saved_step}.",
        )
        return
    training.saved_step = step
    yield CheckpointSaved(step=step, folder=key, metrics=metrics)


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
    key, folder = training.folder("adapter")
    lora, kept = training.weights.lora()
    if training.subject.finetune_type == "full":
        yield Note(
            message=f"The adapter of rank {lora.r} holds {kept:.1%} of what the full tuning "
            "changed."
        )
    try:
        with checkpoint.whole(folder) as partial:
            save_lora(lora, partial)
            card = model_card(training.request, training.subject, training.position, kept)
            (partial / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        if not disk.is_full(error):
            raise
        raise OutOfSpace(
            "The disk is full: the finished adapter could not be saved. Its weights are in the "
            f"checkpoint of step {training.saved_step}."
        ) from error
    yield Finished(adapter=key)
