"""How a job learns. A closed union: a new method is a new case, found by the type checker."""

import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from tunery.core.errors import InvalidValue
from tunery.core.hyperparameters import Auto, Hyperparameters

Mode = Literal["general", "character", "style", "product"]
Priority = Literal["speed", "quality", "high_res_only"]
FinetuneType = Literal["full", "lora"]

AUTO_BETA = 0.1
"""What "auto" means: what Rafailov et al. 2023 use where they say nothing else (section 6)."""
HIGHEST_BETA = 2.0

FEWEST_ITERATIONS, MOST_ITERATIONS = 100, 1000
LOWEST_RATE, HIGHEST_RATE = 1e-6, 5e-3
_LINE_BREAKS = frozenset({"Cc", "Zl", "Zp"})
"""What breaks lines, and control characters: none of them is part of a word."""


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """Next-token loss on the assistant's tokens."""

    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Direct preference optimization (Rafailov et al. 2023): one answer is better than another.

    Raises:
        InvalidValue: `beta` is outside of OpenAI's range (API reference, "DPO hyperparameters").
    """

    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    beta: float | Auto = "auto"
    """How firmly the model is held to what it started from."""

    def __post_init__(self) -> None:
        """Refuse what is out of range, naming the range."""
        if self.beta != "auto" and not 0 < self.beta <= HIGHEST_BETA:
            raise InvalidValue(
                f'beta is {self.beta}; it must be "auto" or above 0 and at most 2', param="beta"
            )


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Velocity matching on captioned pictures, until a word means what they show.

    Names, ranges and defaults are BFL's (API reference, "Finetune").

    Raises:
        InvalidValue: a value is outside of its range.
    """

    trigger_word: str = "TOK"
    mode: Mode = "general"
    """What is on the pictures: how one without a caption is described."""
    iterations: int = 300
    """Optimizer steps."""
    learning_rate: float | Auto = "auto"
    captioning: bool = True
    """Whether pictures without a caption are described; else the trigger word is their caption."""
    priority: Priority = "quality"
    finetune_type: FinetuneType = "full"
    """"lora" trains an adapter; "full" trains the model, and extracts an adapter from that."""

    def __post_init__(self) -> None:
        """Refuse what is out of range, naming the range."""
        kinds = set(map(unicodedata.category, self.trigger_word))
        if not self.trigger_word.strip() or kinds & _LINE_BREAKS:
            raise InvalidValue(
                "trigger_word must be a word, on one line and without control characters",
                param="trigger_word",
            )
        if not FEWEST_ITERATIONS <= self.iterations <= MOST_ITERATIONS:
            raise InvalidValue(
                f"iterations is {self.iterations}; it must be from {FEWEST_ITERATIONS} to "
                f"{MOST_ITERATIONS}",
                param="iterations",
            )
        rate = self.learning_rate
        if rate != "auto" and not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise InvalidValue(
                f"learning_rate is {rate}; it must be from 0.000001 to 0.005",
                param="learning_rate",
            )

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The part of it that every method has."""
        return Hyperparameters(learning_rate=self.learning_rate)


Method = Supervised | Preference | Subject
"""Every method there is."""
