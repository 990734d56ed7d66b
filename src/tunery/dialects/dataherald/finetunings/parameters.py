"""`model_parameters`: numbers as text, the way Dataherald's clients send and get them back."""

import re
from collections.abc import Mapping
from typing import Literal

from tunery.core.errors import InvalidValue
from tunery.core.hyperparameters import Hyperparameters

_KEYS = ("n_epochs", "batch_size", "learning_rate_multiplier")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_SHOWN = 80


def from_text(parameters: Mapping[str, str]) -> Hyperparameters:
    """What a job is to run with; what is absent is "auto".

    Raises:
        InvalidValue: a key is none of ours, a text is no number, or a number is out of range.
    """
    for key in parameters:
        if key not in _KEYS:
            raise InvalidValue(
                f"there is no parameter {key[:_SHOWN]!r}; there are {', '.join(_KEYS)}", param=key
            )
    return Hyperparameters(
        n_epochs=_whole("n_epochs", parameters),
        batch_size=_whole("batch_size", parameters),
        learning_rate_multiplier=_number("learning_rate_multiplier", parameters),
    )


def to_text(asked: Hyperparameters) -> Mapping[str, str] | None:
    """What was asked for, as text; None where all is "auto"."""
    values = {key: getattr(asked, key) for key in _KEYS}
    return {key: str(value) for key, value in values.items() if value != "auto"} or None


def _whole(key: str, parameters: Mapping[str, str]) -> int | Literal["auto"]:
    number = _number(key, parameters)
    if number == "auto":
        return number
    if number % 1 != 0:  # infinity too: its remainder is no number
        raise InvalidValue(f"{key} is {parameters[key][:_SHOWN]!r}, no whole number", param=key)
    return int(number)


def _number(key: str, parameters: Mapping[str, str]) -> float | Literal["auto"]:
    text = parameters.get(key, "auto").strip()
    if text == "auto":
        return "auto"
    if _NUMBER.fullmatch(text) is None:
        raise InvalidValue(f'{key} is {text[:_SHOWN]!r}; it must be a number or "auto"', param=key)
    return float(text)
