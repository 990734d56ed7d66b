"""What an attempt leaves behind: its checkpoints, and in the end the adapter."""

from __future__ import annotations

from collections.abc import Iterator

from tunery.core.errors import OutOfSpace
from tunery.core.progress import AnyProgress, CheckpointSaved, Metrics, Note
from tunery.modeling.adapter import save_adapter
from tunery.trainers import checkpoint, disk
from tunery.trainers.card import model_card, public_name
from tunery.trainers.preparation import Training


def save(training: Training, metrics: Metrics) -> Iterator[AnyProgress]:
    """Write a checkpoint; a full disk does not end a job that can still learn."""
    step = training.position.step
    key, folder = training.folder(checkpoint.name(step))
    try:
        checkpoint.save(
            folder,
            adapter=training.adapter,
            optimizer=training.optimizer,
            position=training.position,
            base_model=public_name(training.request),
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


def hand_over(training: Training) -> str:
    """Write the adapter with all that a user needs beside it; say under which blob key."""
    key, folder = training.folder("adapter")
    try:
        with checkpoint.whole(folder) as partial:
            save_adapter(training.adapter, partial, base_model=public_name(training.request))
            training.chat.tokenizer.save_pretrained(partial)
            card = model_card(training.request, training.adapter, training.position)
            (partial / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        if not disk.is_full(error):
            raise
        raise OutOfSpace(
            "The disk is full: the finished adapter could not be saved. Its weights are in the "
            f"checkpoint of step {training.saved_step}."
        ) from error
    return key
