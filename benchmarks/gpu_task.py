"""What is measured on a GPU, and on which models: random weights in the shapes of known ones."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen3Config

SHAPES: dict[str, tuple[type[LlamaConfig] | type[Qwen3Config], dict[str, Any]]] = {
    "Qwen3-0.6B": (
        Qwen3Config,
        {
            "vocab_size": 151_936,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "Llama-3.1-8B": (
        LlamaConfig,
        {
            "vocab_size": 128_256,
            "hidden_size": 4096,
            "intermediate_size": 14_336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
        },
    ),
    "tiny": (
        LlamaConfig,
        {
            "vocab_size": 512,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
    ),
}
"""By the model's name, in the words of its configuration; their rotary embedding costs the same
whatever its base is."""

RANK, ALPHA = 16, 32
"""Of every adapter, on all linear layers, without dropout."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to learn.

    Attributes:
        shape: one of `SHAPES`.
        n_tokens: of each row; all of them are taught.
        n_rows: rows of an optimizer step of one job.
        n_steps: optimizer steps of each job that are measured.
        warm_up: optimizer steps before these.
        jobs: "one", or many "together" or "in turn".
        n_jobs: how many those are.
        in_four_bits: whether the base is.
        batch_size: of TRL, rows that go through at a time.
        checkpointing: of TRL, whether layers are computed again in backward.
        attention: of TRL, the name that transformers has for it.
        liger: of TRL, whether it uses Liger's kernels.
    """

    shape: str
    n_tokens: int
    n_rows: int
    n_steps: int
    warm_up: int
    jobs: Literal["one", "together", "in turn"] = "one"
    n_jobs: int = 1
    in_four_bits: bool = False
    batch_size: int = 1
    checkpointing: bool = False
    attention: str = "sdpa"
    liger: bool = False


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        seconds: of all measured steps.
        tokens: that were learnt from in them.
        peak_bytes: the most memory that was in use at a time: the GPU's, or else the process's.
        about: what was used and is not said by the task.
    """

    seconds: float
    tokens: int
    peak_bytes: int
    about: str = ""

    @property
    def tokens_per_second(self) -> float:
        """The pace."""
        return self.tokens / self.seconds


def device() -> torch.device:
    """The GPU, or the processor where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype() -> torch.dtype:
    """Of the weights there."""
    return torch.bfloat16 if device().type == "cuda" else torch.float32


def random_model(shape: str, *, attention: str = "sdpa") -> PreTrainedModel:
    """A model of one of `SHAPES`, made on its device."""
    kind, options = SHAPES[shape]
    config = kind(**options, max_position_embeddings=8192)
    torch.manual_seed(0)
    with device():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, dtype=dtype(), attn_implementation=attention
        )
    return model


def random_rows(task: Task, n_rows: int, *, seed: int = 0) -> torch.Tensor:
    """`(n_rows, n_tokens)` token ids."""
    source = torch.Generator().manual_seed(seed)
    vocabulary = SHAPES[task.shape][1]["vocab_size"]
    return torch.randint(3, vocabulary, (n_rows, task.n_tokens), generator=source)


def finish() -> None:
    """Wait until the GPU has done all that it was asked for."""
    if device().type == "cuda":
        torch.cuda.synchronize()


def forget_peak() -> None:
    """Count the peak of memory from now on, where that can be done."""
    if device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
