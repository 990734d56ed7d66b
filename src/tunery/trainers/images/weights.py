"""What of a transformer learns: an adapter beside it, or its own weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import torch
from diffusers import FluxTransformer2DModel
from peft import LoraConfig, get_peft_model_state_dict
from safetensors import safe_open
from torch import Tensor, nn

from tunery.modeling.flux_lora import Lora, adapted_layers, extracted

Parameters = dict[str, nn.Parameter]


class Weights(Protocol):
    """What learns, in fp32 whatever the base is kept in.

    Attributes:
        parameters: by name.
    """

    parameters: Parameters

    def lora(self) -> tuple[Lora, float]:
        """What is learnt as an adapter, and the share of the squared change that it keeps."""


class AdapterWeights:
    """A LoRA (Hu et al. 2021), while the base stays as it is."""

    def __init__(
        self, transformer: FluxTransformer2DModel, *, r: int, lora_alpha: float, seed: int
    ) -> None:
        """An adapter on all linear layers of the blocks, that changes nothing yet."""
        transformer.requires_grad_(False)
        self._transformer = transformer
        self._config = LoraConfig(
            r=r,
            lora_alpha=lora_alpha,
            target_modules=list(adapted_layers(transformer)),
            init_lora_weights="gaussian",
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            transformer.add_adapter(self._config)
        self.parameters = _trained(transformer, lambda name: ".lora_" in name)

    def lora(self) -> tuple[Lora, float]:
        """The adapter itself."""
        state = get_peft_model_state_dict(self._transformer)
        names = sorted({name.rpartition(".lora_")[0] for name in state})
        layers = {
            name: (state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"]) for name in names
        }
        return Lora(r=self._config.r, lora_alpha=self._config.lora_alpha, layers=layers), 1.0


class FullWeights:
    """The weights of all linear layers of the blocks; what they change by becomes a LoRA."""

    def __init__(self, transformer: FluxTransformer2DModel, *, r: int, base: Path) -> None:
        """`base` is the folder that the transformer was loaded from, and `r` is to be extracted."""
        transformer.requires_grad_(False)
        self._r, self._base = r, base
        names = {f"{name}.weight" for name in adapted_layers(transformer)}
        self.parameters = _trained(transformer, lambda name: name in names)

    @torch.no_grad()
    def lora(self) -> tuple[Lora, float]:
        """The nearest adapter of rank `r`; the base's weights are read anew, one at a time."""
        layers, kept, squares = {}, 0.0, 0.0
        for name, now, before in self._with_base():
            difference = now - before.to(now)
            a, b, share = extracted(difference, self._r)
            layers[name.removesuffix(".weight")] = (a, b)
            square = float(difference.square().sum())
            kept, squares = kept + share * square, squares + square
        share = kept / squares if squares else 1.0
        return Lora(r=self._r, lora_alpha=self._r, layers=layers), share

    def _with_base(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Each parameter's name, what it is now, and what it is in the base."""
        for path in sorted(self._base.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                for name in sorted(self.parameters.keys() & set(file.keys())):
                    yield name, self.parameters[name], file.get_tensor(name)


def _trained(model: nn.Module, chosen: Callable[[str], bool]) -> Parameters:
    """The parameters whose names are chosen, from now on with gradient and in fp32."""
    found = {name: weight for name, weight in model.named_parameters() if chosen(name)}
    for weight in found.values():
        weight.data = weight.data.float()
        weight.requires_grad_(True)
    return found
