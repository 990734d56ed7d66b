"""One job's low-rank weights over a shared base, and PEFT's files of them.

Axes: `i` inputs of a family, `o` outputs of one member, `k` members that the adapter targets, `r`
its rank, `T` rows of its span.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunery.core.errors import InvalidValue, Unsupported
from tunery.core.lora import LoraConfig
from tunery.modeling.linears import Family, Places

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

_PREFIX = "base_model.model."

# What PEFT may write that changes the product, with the values that leave it as it is.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "use_dora": (None, False),
    "use_qalora": (None, False),
    "lora_bias": (None, False),
    "bias": (None, "none"),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "layer_replication": (None, []),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None, []),
}
# These take part of the frozen weights away when training starts, so the file alone is not enough.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(eq=False)
class Part:
    """What an adapter holds for one family.

    `down` and `up` are what products use, in the base's dtype; masters and gradients are fp32.

    Attributes:
        at: which members of the family are targeted.
        down: `(k * r, i)`, all members' A matrices.
        up: for each, its `(o, r)` B matrix.
    """

    at: list[int]
    down: Tensor
    down_grad: Tensor
    down_master: Tensor
    up: list[Tensor]
    up_grad: list[Tensor]
    up_master: list[Tensor]

    def add_up_gradient(self, dys: Sequence[Tensor], low: Tensor) -> Tensor:
        """Add to the B gradients, and give back the gradient of `low`, `(k * r, T)`."""
        r = low.shape[0] // len(self.at)
        dlow = torch.empty_like(low)
        for i, dy in enumerate(dys):
            rows = slice(i * r, (i + 1) * r)
            torch.mm(self.up[i].T, dy.T, out=dlow[rows])
            self.up_grad[i].T.add_(low[rows] @ dy)
        return dlow


class Adapter:
    """The weights that one job trains: `W x + lora_alpha / r * B A x` (Hu et al. 2021, eq. 3).

    All of them lie in one flat buffer, and so do their gradients: the optimizer sees two tensors.

    Attributes:
        config: rank, scale and targets, in PEFT's words.
        parts: what it holds for each family that it targets.
        master: the weights, fp32.
        grad: their gradients, fp32; a backward pass adds to them.
        dropout: draws the dropout masks; its state belongs in a checkpoint.
    """

    def __init__(self, places: Places, config: LoraConfig, *, seed: int = 0) -> None:
        """A fresh adapter, which changes nothing yet: A as in PEFT (He et al. 2015), B zero.

        Raises:
            InvalidValue: a target names no layer that can carry an adapter.
        """
        self.config = config
        self.scale = config.lora_alpha / config.r
        self.targets = _targets(places, config)
        self._linear_names = places.linear_names
        self._allocate(places)
        self.dropout = torch.Generator(self.master.device).manual_seed(seed)
        source = torch.Generator().manual_seed(seed)
        for part in self.parts.values():
            bound = part.down_master.shape[1] ** -0.5
            start = torch.empty(part.down_master.shape).uniform_(-bound, bound, generator=source)
            part.down_master.copy_(start)
        self.refresh()

    def _allocate(self, places: Places) -> None:
        """Lay out the flat buffers and cut every part's views from them."""
        targeted = _targeted(places, self.targets)
        size = _size(targeted, self.config.r)
        weight = places.families[0].weight
        self.master = torch.zeros(size, device=weight.device)
        self.grad = torch.zeros_like(self.master)
        exact = weight.dtype == torch.float32
        self._live = self.master if exact else self.master.to(weight.dtype)
        self.parts = self._all_cut(targeted)
        self._sides: dict[int, Adapter] = {0: self}

    def side(self, number: int) -> Adapter:
        """The same weights with gradients of their own: for passes at the same time.

        Number 0 is the adapter itself; `gather` adds the others' gradients to its own.
        """
        if number not in self._sides:
            side = self._sides[number] = copy(self)
            side.grad = torch.zeros_like(self.grad)
            side.parts = side._all_cut({family: part.at for family, part in self.parts.items()})
        return self._sides[number]

    def gather(self) -> None:
        """Add the gradients of all sides to its own, in their order."""
        for number, side in sorted(self._sides.items()):
            if number:
                self.grad.add_(side.grad)
                side.grad.zero_()

    def forget_gradients(self) -> None:
        """Let there be none, on any side."""
        for side in self._sides.values():
            side.grad.zero_()

    def _all_cut(self, targeted: Mapping[Family, list[int]]) -> dict[Family, Part]:
        parts: dict[Family, Part] = {}
        start = 0
        for family, at in targeted.items():
            parts[family], start = self._cut(family, at, start)
        return parts

    def _cut(self, family: Family, at: list[int], start: int) -> tuple[Part, int]:
        r = self.config.r
        shapes = [(len(at) * r, family.n_inputs)] + [(family.widths[i], r) for i in at]
        cuts: list[list[Tensor]] = []
        for rows, columns in shapes:
            end = start + rows * columns
            buffers = (self._live, self.grad, self.master)
            cuts.append([buffer[start:end].view(rows, columns) for buffer in buffers])
            start = end
        ups = [[cut[kind] for cut in cuts[1:]] for kind in range(3)]
        down, down_grad, down_master = cuts[0]
        up, up_grad, up_master = ups
        return Part(at, down, down_grad, down_master, up, up_grad, up_master), start

    @property
    def n_parameters(self) -> int:
        """Trained numbers."""
        return self.master.numel()

    def refresh(self) -> None:
        """Bring the copy that products use up to date with the masters."""
        if self._live is not self.master:
            self._live.copy_(self.master)

    def dropout_mask(self, n_rows: int, width: int) -> Tensor | None:
        """`(n_rows, width)` of 0 and `1 / (1 - p)`, the next draw; None where nothing is dropped.

        One mask serves all linears that read the same tensor. PEFT draws one for each; the
        expectation is the same.
        """
        p = self.config.lora_dropout
        if p == 0:
            return None
        mask = torch.empty(n_rows, width, device=self.master.device, dtype=self._live.dtype)
        return mask.bernoulli_(1 - p, generator=self.dropout).div_(1 - p)

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every matrix under PEFT's name, as a view of the masters."""
        r = self.config.r
        for family, part in self.parts.items():
            for i, at in enumerate(part.at):
                name = f"{_PREFIX}{family.names[at]}"
                yield f"{name}.lora_A.weight", part.down_master[i * r : (i + 1) * r]
                yield f"{name}.lora_B.weight", part.up_master[i]

    def peft_targets(self) -> list[str]:
        """The shortest `target_modules` that mean these layers and no others to PEFT."""
        leaves = sorted({name.rpartition(".")[2] for name in self.targets})
        meant = {name for name in self._linear_names if name.rpartition(".")[2] in leaves}
        return leaves if meant == self.targets else sorted(self.targets)


def n_parameters(places: Places, config: LoraConfig) -> int:
    """How many numbers an adapter of `config` trains.

    Raises:
        InvalidValue: a target names no layer that can carry an adapter.
    """
    return _size(_targeted(places, _targets(places, config)), config.r)


def _targeted(places: Places, targets: set[str]) -> dict[Family, list[int]]:
    """The members of each family that are among `targets`, where any are."""
    found = {
        family: [at for at, name in enumerate(family.names) if name in targets]
        for family in places.families
    }
    return {family: at for family, at in found.items() if at}


def _size(targeted: Mapping[Family, Sequence[int]], r: int) -> int:
    return sum(
        r * (len(at) * family.n_inputs + sum(family.widths[i] for i in at))
        for family, at in targeted.items()
    )


def _targets(places: Places, config: LoraConfig) -> set[str]:
    names = {name for family in places.families for name in family.names}
    if config.target_modules == "all-linear":
        if not names:
            raise Unsupported("the base model has no linear layers that can carry an adapter")
        return names
    chosen: set[str] = set()
    for target in config.target_modules:
        found = {name for name in names if name == target or name.endswith(f".{target}")}
        if not found:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in names}))
            raise InvalidValue(
                f'target_modules names "{target}", which no adaptable layer of the base model is '
                f"called; they are called {known}",
                param="target_modules",
            )
        chosen |= found
    return chosen


def save_adapter(adapter: Adapter, folder: Path, *, base_model: str) -> None:
    """Write `adapter` as PEFT does: its configuration and its weights, fp32."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: w.detach().cpu().clone() for name, w in adapter.named_weights()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": adapter.config.r,
        "lora_alpha": adapter.config.lora_alpha,
        "lora_dropout": adapter.config.lora_dropout,
        "target_modules": adapter.peft_targets(),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_adapter(places: Places, folder: Path, *, seed: int = 0) -> Adapter:
    """The adapter in `folder`, whether we or PEFT wrote it.

    Raises:
        Unsupported: it uses a feature of PEFT that we do not have.
        InvalidValue: it does not fit the base model.
    """
    saved = _read_weights(folder)
    config = _read_config(folder, _module_names(saved))
    adapter = Adapter(places, config, seed=seed)
    restore(adapter, saved)
    return adapter


def restore(adapter: Adapter, saved: Mapping[str, Tensor]) -> None:
    """Set the weights of `adapter` to those in `saved`, which has PEFT's names.

    Raises:
        InvalidValue: a matrix is missing or has another shape.
    """
    for name, weight in adapter.named_weights():
        found = saved.get(name)
        if found is None:
            raise InvalidValue(f"the adapter has no {name}; the base model needs one")
        if found.shape != weight.shape:
            raise InvalidValue(
                f"the adapter's {name} is {tuple(found.shape)}; "
                f"for this base model and rank it would be {tuple(weight.shape)}"
            )
        weight.copy_(found)
    adapter.refresh()


def _read_weights(folder: Path) -> dict[str, Tensor]:
    if not (folder / WEIGHTS).is_file():
        raise InvalidValue(f"{folder.name} has no {WEIGHTS}; adapters are read from safetensors")
    saved: dict[str, Tensor] = load_file(folder / WEIGHTS)
    return saved


def _module_names(saved: Mapping[str, Tensor]) -> tuple[str, ...]:
    names = set()
    for name in saved:
        module = name.removeprefix(_PREFIX).removesuffix(".weight")
        inner = module.removesuffix(".lora_A").removesuffix(".lora_B")
        if inner == module:
            raise Unsupported(f"the adapter holds {name}, which is not a low-rank matrix")
        names.add(inner)
    return tuple(sorted(names))


def _read_config(folder: Path, names: tuple[str, ...]) -> LoraConfig:
    """PEFT's configuration as ours; what is targeted is what there are weights for."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise Unsupported(f"the adapter's peft_type is {config.get('peft_type')}; it must be LORA")
    for key, neutral in _NEUTRAL.items():
        if config.get(key) not in neutral:
            raise Unsupported(f"the adapter uses {key} ({config[key]}), which is not there yet")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise Unsupported(
            f"the adapter began with init_lora_weights {start}, which changes the base model; "
            "convert it with PEFT's `path_initial_model_for_weight_conversion`"
        )
    r, alpha = config["r"], config["lora_alpha"]
    if config.get("use_rslora"):  # scaled by lora_alpha / sqrt(r) (Kalajdzievski 2023)
        alpha *= math.sqrt(r)
    return LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=config.get("lora_dropout", 0.0),
        target_modules=names or _no_weights(folder),
    )


def _no_weights(folder: Path) -> Literal["all-linear"]:
    raise InvalidValue(f"the adapter in {folder.name} holds no weights")
