"""Whether one more trainer process has room on this machine, as far as can be told from outside."""

import os
from collections.abc import Iterable
from pathlib import Path

from tunery import main_memory

WEIGHTS_FACTOR = 3
"""What a trainer takes, in sizes of its base model's files.

These are mostly bf16. On a processor the weights may be kept in fp32, which is twice that; the rest
is for what passes through them, and for adapters with their moments.
"""

PROCESS_BYTES = 512 * 1024**2
"""What a trainer takes beside: PyTorch, its buffers, and the rows of its jobs."""


def need_bytes(weights_bytes: int, *, on_gpu: bool) -> int:
    """The main memory that a trainer of a base model with files of that size takes, at most.

    Where it computes on a GPU, weights only pass through.
    """
    return (1 if on_gpu else WEIGHTS_FACTOR) * weights_bytes + PROCESS_BYTES


def has_room(need: int, *, still_loading: Iterable[int]) -> bool:
    """Whether a process that takes `need` bytes fits into the main memory that is free.

    `still_loading` is what others take that were started, but have not taken it yet.
    """
    return need + sum(still_loading) <= main_memory.free_bytes()


def devices(driver: Path = Path("/dev")) -> tuple[str, ...]:
    """The NVIDIA GPUs that trainers compute on, as `CUDA_VISIBLE_DEVICES` names them.

    Judged without PyTorch, by the devices of their driver. A trainer takes what memory it finds on
    one: so there is one process on each.
    """
    if not (driver / "nvidiactl").exists():
        return ()
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name for name in visible.split(",") if name not in ("", "-1"))
    return tuple(str(number) for number in range(len(list(driver.glob("nvidia[0-9]*")))))
