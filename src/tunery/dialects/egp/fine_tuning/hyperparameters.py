"""`hyperparameters`: a free map in which two vendors have their own names for some things.

OpenAI's names and LLM Engine's are read under every vendor, and numbers also as text, for LLM
Engine's map takes both. A name that means nothing here is refused: it would change nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tunery.core.errors import InvalidValue
from tunery.core.hyperparameters import Hyperparameters
from tunery.core.lora import LoraConfig
from tunery.dialects.egp.errors import Misplaced, Place

PLACE: Place = ("body", "vendor_configuration", "hyperparameters")

_NAMES: Mapping[str, str] = {
    "n_epochs": "n_epochs",
    "epochs": "n_epochs",
    "batch_size": "batch_size",
    "learning_rate_multiplier": "learning_rate_multiplier",
    "lr": "learning_rate",
    "warmup_ratio": "warmup_ratio",
    "weight_decay": "weight_decay",
}
"""The core's name behind each that is read."""

_PEFT = "peft_config"
_OF_LORA = ("r", "lora_alpha", "lora_dropout", "target_modules")
_AS_TRAINED: Mapping[str, object] = {"bias": "none", "peft_type": "LORA", "task_type": "CAUSAL_LM"}
"""Keys of a PEFT configuration that can only say what is done anyway."""

_WHOLE = frozenset({"n_epochs", "batch_size", "r"})
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 32
_BEYOND = 2.0**63
_MOST_MODULES = 256
_LONGEST_MODULE = 200
_SHOWN = 80


def to_core(given: Mapping[str, Any]) -> tuple[Hyperparameters, LoraConfig]:
    """What a job is to run with; what is absent or null is our own choice.

    Raises:
        Misplaced: a name means nothing here, two names of one thing disagree, or a value is no
            number or out of range.
    """
    settings = {name: value for name, value in given.items() if name != _PEFT}
    return _hyperparameters(settings), _lora(given.get(_PEFT))


def _hyperparameters(given: Mapping[str, Any]) -> Hyperparameters:
    written: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if (core := _NAMES.get(name)) is None:
            known = ", ".join((*_NAMES, _PEFT))
            raise _wrong(f"There is no hyperparameter {_shown(name)}; there are {known}", name)
        if value is None:
            continue
        number = _number_or_auto(name, value, name, whole=core in _WHOLE)
        if values.get(core, number) != number:
            raise _wrong(
                f"{name} is {_shown(value)} and {written[core]} is {_shown(given[written[core]])}; "
                "they are two names of one thing",
                name,
            )
        written[core], values[core] = name, number
    try:
        return Hyperparameters(**values)
    except InvalidValue as error:
        raise _out_of_range(error, written) from error


def _lora(given: object) -> LoraConfig:
    if given is None:
        return LoraConfig()
    if not isinstance(given, Mapping):
        raise _wrong(f"{_PEFT} is {_shown(given)}; it must be an object", _PEFT)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or (name in _AS_TRAINED and value == _AS_TRAINED[name]):
            continue
        values[name] = _of_lora(name, value)
    try:
        return LoraConfig(**values)
    except InvalidValue as error:
        name = error.param or ""
        raise _wrong(error.message, _PEFT, name) from error


def _of_lora(name: str, value: object) -> object:
    if name in _AS_TRAINED:
        only = _AS_TRAINED[name]
        raise _wrong(f"{name} is {_shown(value)}; it can only be {only!r}", _PEFT, name)
    if name not in _OF_LORA:
        known = ", ".join((*_OF_LORA, *_AS_TRAINED))
        raise _wrong(f"{_PEFT} has no {_shown(name)}; it takes {known}", _PEFT, name)
    if name == "target_modules":
        return _modules(value)
    number = _number(value, whole=name in _WHOLE)
    if number is None:
        kind = "whole number" if name in _WHOLE else "number"
        raise _wrong(f"{name} is {_shown(value)}; it must be a {kind}", _PEFT, name)
    return number


def _modules(value: object) -> tuple[str, ...] | Literal["all-linear"]:
    if value == "all-linear":
        return "all-linear"
    if isinstance(value, list) and _are_names(value):
        return tuple(value)
    raise _wrong(
        f'target_modules is {_shown(value)}; it must be "all-linear" or a list of up to '
        f"{_MOST_MODULES} names",
        _PEFT,
        "target_modules",
    )


def _are_names(values: Sequence[object]) -> bool:
    return len(values) <= _MOST_MODULES and all(
        isinstance(name, str) and name.isprintable() and len(name) <= _LONGEST_MODULE
        for name in values
    )


def _number_or_auto(name: str, value: object, *place: str, whole: bool) -> float | Literal["auto"]:
    if value == "auto":
        return "auto"
    if (number := _number(value, whole=whole)) is None:
        kind = "whole number" if whole else "number"
        raise _wrong(f'{name} is {_shown(value)}; it must be a {kind} or "auto"', *place)
    return number


def _number(value: object, *, whole: bool) -> float | None:
    """The number that `value` is or says; None where it is none."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
            return None
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _BEYOND:
        return None
    if whole:
        return int(value) if value % 1 == 0 else None
    return float(value)


def _out_of_range(error: InvalidValue, written: Mapping[str, str]) -> Misplaced:
    core = error.param or ""
    name = written[core]
    return _wrong(name + error.message.removeprefix(core), name)


def _wrong(message: str, *names: str) -> Misplaced:
    return Misplaced(message, *PLACE, *names)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
