"""What is trained: a low-rank adapter, in PEFT's words."""

from dataclasses import dataclass
from typing import Literal

from tunery.core.errors import InvalidValue

AllLinear = Literal["all-linear"]


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """The shape of an adapter (Hu et al. 2021, section 4.1; names as in PEFT's `LoraConfig`).

    `lora_alpha / r` scales the low-rank product. The defaults adapt every linear layer except the
    output head, which is what "LoRA Without Regret" (Thinking Machines, 2025) recommends.

    Raises:
        InvalidValue: a value is outside of its range.
    """

    r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] | AllLinear = "all-linear"

    def __post_init__(self) -> None:
        """Refuse what no adapter can have."""
        if not 1 <= self.r <= 512:
            raise InvalidValue(f"r is {self.r}; it must be from 1 to 512", param="r")
        if not self.lora_alpha > 0:
            raise InvalidValue(
                f"lora_alpha is {self.lora_alpha}; it must be above 0", param="lora_alpha"
            )
        if not 0 <= self.lora_dropout < 1:
            raise InvalidValue(
                f"lora_dropout is {self.lora_dropout}; it must be at least 0 and below 1",
                param="lora_dropout",
            )
        if not self.target_modules:
            raise InvalidValue(
                'target_modules is empty; name at least one module, or say "all-linear"',
                param="target_modules",
            )
