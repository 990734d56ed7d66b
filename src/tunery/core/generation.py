"""Asking a model for text, and what comes back; the same values as JSON lines to the child."""

from typing import Any, Literal

import msgspec

from tunery.core.models import Quantization

FinishReason = Literal["stop", "length", "tool_calls"]


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request for text from a base model and an optional adapter.

    Exactly one of `messages` (rendered by the model's own chat template) and `prompt` (taken as it
    is) is given.
    """

    location: str
    """The base model: a folder, or a Hugging Face id."""
    quantization: Quantization | None = None
    """How it is kept."""
    adapter: str | None = None
    """The folder of the adapter on this machine, in PEFT's layout."""
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    prompt: str | None = None
    max_tokens: int | None = None
    """None: as many as the context still holds."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    n: int = 1
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """None: no log-probabilities; else those of the tokens, and of so many likeliest others."""


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a token was."""

    token: str
    logprob: float
    bytes: list[int]
    top: list[tuple[str, float, list[int]]] = []
    """(token, log-probability, bytes) of the likeliest tokens at this place."""


class Piece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Some more text of one of the answers; the last piece of each has its `finish_reason`.

    `usage` stands on the last piece of the whole request: (prompt tokens, completion tokens).
    """

    index: int = 0
    text: str = ""
    logprobs: list[TokenLogprob] = []
    finish_reason: FinishReason | None = None
    usage: tuple[int, int] | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """How long texts are, by a base model's own tokenizer."""

    context: int | None
    """The longest row that the model takes, in tokens; None where it does not say."""
    n_tokens: tuple[int, ...]
    """Of each text, in the order in which they were given; no template, no special tokens."""
