"""What an attempt leaves behind: its checkpoints, and in the end the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tunery.core.progress import AnyProgress, Metrics
from tunery.modeling.adapter import save_adapter
from tunery.trainers import checkpoint
from tunery.trainers.card import model_card, public_name
from tunery.trainers.leaving import checkpointed, handed_over
from tunery.trainers.preparation import Training


def save(training: Training, metrics: Metrics) -> Iterator[AnyProgress]:
    """Write a checkpoint."""
    write = partial(
        checkpoint.save,
        adapter=training.adapter,
        optimizer=training.optimizer,
        position=training.position,
        base_model=public_name(training.request),
    )
    return checkpointed(training, metrics, write)


def hand_over(training: Training) -> str:
    """Write the adapter with all that a user needs beside it; say under which blob key."""

    def write(folder: Path) -> None:
        save_adapter(training.adapter, folder, base_model=public_name(training.request))
        training.chat.tokenizer.save_pretrained(folder)
        card = model_card(training.request, training.adapter, training.position)
        (folder / "README.md").write_text(card, encoding="utf-8")

    return handed_over(training, write)
