"""What is asked becomes what is run with; what cannot be is refused by name."""

import math
from typing import Any

import msgspec
import pytest

from tunery.core.errors import InvalidValue
from tunery.core.hyperparameters import (
    Hyperparameters,
    ResolvedHyperparameters,
    TuningDefaults,
    resolve,
)


def test_auto_is_three_percent_of_warm_up_and_no_decay() -> None:
    resolved = resolve(Hyperparameters(), n_examples=100, defaults=TuningDefaults())
    assert (resolved.warmup_ratio, resolved.weight_decay) == (0.03, 0.0)


def test_what_is_asked_is_run_with() -> None:
    asked = Hyperparameters(warmup_ratio=0.5, weight_decay=0.001, learning_rate=0.01)
    resolved = resolve(asked, n_examples=100, defaults=TuningDefaults())
    assert (resolved.warmup_ratio, resolved.weight_decay) == (0.5, 0.001)
    assert resolved.learning_rate == 0.01


@pytest.mark.parametrize("name", ["warmup_ratio", "weight_decay"])
@pytest.mark.parametrize("value", [-0.001, 1.5, math.nan, math.inf])
def test_shares_are_from_0_to_1(name: str, value: float) -> None:
    asked: dict[str, Any] = {name: value}
    with pytest.raises(InvalidValue, match=f"{name} is .* from 0 to 1") as refused:
        Hyperparameters(**asked)
    assert refused.value.param == name


def test_what_was_kept_before_there_was_a_precision_is_read() -> None:
    kept = (
        b'{"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.0, "learning_rate": 1e-4}'
    )
    assert msgspec.json.decode(kept, type=ResolvedHyperparameters).precision is None
