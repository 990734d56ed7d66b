"""How many threads a trainer computes with."""

from __future__ import annotations

import torch


def set_threads(n_threads: int | None) -> None:
    """Use so many threads. In a forked process this must come before anything is computed."""
    if n_threads is not None:
        torch.set_num_threads(n_threads)
