"""Hyperparameters as asked, where "auto" is allowed, and as run, where everything is known."""

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

from tunery.core.errors import InvalidValue

Auto = Literal["auto"]
Number = TypeVar("Number", int, float)

Precision = Literal["fp32", "bf16"]
"""What a model computes in; an adapter's own weights and their moments are fp32 always."""


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What a caller asked for. Ranges are OpenAI's (API reference, "Create fine-tuning job").

    `learning_rate` is ours: it replaces the base model's own rate, which
    `learning_rate_multiplier` then multiplies. `warmup_ratio` and `weight_decay` are LLM Engine's
    (its documentation, "Fine-tuning").

    Raises:
        InvalidValue: a value is outside of its range.
    """

    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
    learning_rate: float | Auto = "auto"
    warmup_ratio: float | Auto = "auto"
    weight_decay: float | Auto = "auto"

    def __post_init__(self) -> None:
        """Refuse what is out of range, naming the range."""
        _whole("n_epochs", self.n_epochs, most=50)
        _whole("batch_size", self.batch_size, most=256)
        _positive("learning_rate_multiplier", self.learning_rate_multiplier)
        _positive("learning_rate", self.learning_rate)
        _share("warmup_ratio", self.warmup_ratio)
        _share("weight_decay", self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class ResolvedHyperparameters:
    """What a job runs with."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    learning_rate: float
    """The peak rate, the multiplier already in it."""
    warmup_ratio: float = 0.03
    """The share of all steps over which the rate rises to its peak."""
    weight_decay: float = 0.0
    """Times the rate: the share of itself that a weight loses in a step."""
    beta: float | None = None
    """Of a preference job alone: how firmly it is held to what it started from."""
    precision: Precision | None = None
    """Of a text job alone; None: of one from before this was decided once for all its attempts."""


@dataclass(frozen=True, kw_only=True)
class TuningDefaults:
    """What "auto" means for one base model.

    Where a base model's catalog entry says nothing: a LoRA rate about ten times that of full
    tuning ("LoRA Without Regret", Thinking Machines, 2025), and OpenAI's own rules by number of
    rows for the rest.
    """

    learning_rate: float = 2e-4
    batch_size: int | None = None
    """None: by the number of rows, as `auto_batch_size` says."""
    rows_seen: int | None = None
    """Rows to show in all, repeated as often as that takes; None: as `auto_epochs` says."""
    min_epochs: int = 1
    max_epochs: int = 25
    full_learning_rate: float | None = None
    """Where all of the model is trained; None: `learning_rate`."""
    preference_learning_rate: float | None = None
    """Where preferences are learnt; None: a tenth of `learning_rate`."""

    def n_epochs(self, n_examples: int) -> int:
        """Passes over a training set of `n_examples` rows."""
        if self.rows_seen is None:
            return auto_epochs(n_examples)
        return min(self.max_epochs, max(self.min_epochs, math.ceil(self.rows_seen / n_examples)))


IMAGE_DEFAULTS = TuningDefaults(learning_rate=1e-4, full_learning_rate=1e-5, batch_size=1)
"""What "auto" means for an image model whose catalog entry says nothing: BFL's own rates (its API
reference, "Finetune"), a picture a step as in diffusers' recipe for FLUX."""


def resolve(
    asked: Hyperparameters, *, n_examples: int, defaults: TuningDefaults
) -> ResolvedHyperparameters:
    """`asked` with every "auto" replaced, for a training set of `n_examples` rows."""
    multiplier = _known(asked.learning_rate_multiplier, 1.0)
    return ResolvedHyperparameters(
        n_epochs=_known(asked.n_epochs, defaults.n_epochs(n_examples)),
        batch_size=_known(asked.batch_size, defaults.batch_size or auto_batch_size(n_examples)),
        learning_rate_multiplier=multiplier,
        learning_rate=_known(asked.learning_rate, defaults.learning_rate) * multiplier,
        warmup_ratio=_known(asked.warmup_ratio, ResolvedHyperparameters.warmup_ratio),
        weight_decay=_known(asked.weight_decay, ResolvedHyperparameters.weight_decay),
    )


def auto_epochs(n_examples: int) -> int:
    """Three epochs, more where there are few rows and fewer where there are many.

    The rule of OpenAI's cookbook "Data preparation and analysis for chat model fine-tuning":
    at least 100 and at most 25,000 rows seen in all, from 1 to 25 epochs.
    """
    if n_examples * 3 < 100:
        return min(25, 100 // max(n_examples, 1))
    if n_examples * 3 > 25_000:
        return max(1, 25_000 // n_examples)
    return 3


def auto_batch_size(n_examples: int) -> int:
    """About 0.2 % of the rows, from 8 to 256.

    The 0.2 % and the 256 are from Azure OpenAI's page "Customize a model with fine-tuning"; the
    floor of 8 is ours: an adapter of a small set learns more steadily than from single rows.
    """
    return min(256, max(8, round(n_examples * 0.002)))


def total_steps(resolved: ResolvedHyperparameters, *, n_examples: int) -> int:
    """Optimizer steps of the whole job; an epoch's last batch may be a smaller one."""
    return resolved.n_epochs * math.ceil(n_examples / resolved.batch_size)


def _known(value: Number | Auto, default: Number) -> Number:
    return default if value == "auto" else value


def _whole(name: str, value: int | Auto, *, most: int) -> None:
    if value != "auto" and not 1 <= value <= most:
        raise InvalidValue(f'{name} is {value}; it must be "auto" or from 1 to {most}', param=name)


def _positive(name: str, value: float | Auto) -> None:
    if value != "auto" and not (value > 0 and math.isfinite(value)):
        raise InvalidValue(f'{name} is {value}; it must be "auto" or above 0', param=name)


def _share(name: str, value: float | Auto) -> None:
    if value != "auto" and not 0 <= value <= 1:
        raise InvalidValue(f'{name} is {value}; it must be "auto" or from 0 to 1', param=name)
