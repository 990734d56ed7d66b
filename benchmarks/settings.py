"""How TRL can be set up, and the settings that were found fastest for it."""

from __future__ import annotations

from typing import Literal

import msgspec

Precision = Literal["fp32", "bf16", "autocast"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Of TRL's trainers, what changes their speed on a CPU.

    Attributes:
        batch_size: rows of a step; where they are packed, blocks.
        block: tokens of a block that rows are packed into; None pads rows to the longest of a step.
        by_length: batches of rows of about one length, which have little padding.
        precision: "bf16" loads the base in it, "autocast" leaves it in fp32.
        compiled: by `torch.compile`.
    """

    batch_size: int
    block: int | None = None
    by_length: bool = False
    precision: Precision = "fp32"
    compiled: bool = False

    def __str__(self) -> str:
        """In a few words."""
        rows = f"{self.batch_size} rows" if self.block is None else "packed"
        if self.block is not None:
            rows += f" {self.batch_size} x {self.block}"
        elif self.by_length:
            rows += " by length"
        return f"{rows}, {self.precision}{', compiled' if self.compiled else ''}"


class SftTask(msgspec.Struct, frozen=True, kw_only=True):
    """What `benchmarks.rival_sft` is to do.

    Attributes:
        model: the base model's folder.
        rows: the training file.
        folder: where it may write.
        steps: optimizer steps at most; None is as many as fit into `seconds`.
        seconds: how long it goes on after `warm_up` steps; None is to the last of `steps`.
    """

    model: str
    rows: str
    folder: str
    settings: Settings
    threads: int
    steps: int | None = None
    warm_up: int = 0
    seconds: float | None = None


class DpoTask(msgspec.Struct, frozen=True, kw_only=True):
    """What `benchmarks.rival_dpo` is to do: one pass over `rows`; fields as above."""

    model: str
    rows: str
    folder: str
    settings: Settings
    threads: int


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """What a rival says at its end.

    Attributes:
        ends: when each optimizer step was done, as `time.time()` has it.
        tokens: real tokens of each step's rows, where they are counted.
    """

    ends: list[float]
    tokens: list[int] = []
