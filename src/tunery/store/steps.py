"""The steps of a job, read back from the events that told of them."""

from collections.abc import Mapping
from typing import Any

from tunery.core.progress import Metrics

_MEASURED = ("train_loss", "train_mean_token_accuracy")
"""Figures that may be none without being absent."""


def step_of(data: Mapping[str, Any]) -> Metrics:
    """The metrics that `core.events.metrics_event` made `data` of."""
    named = {("remaining_s" if key == "remaining_seconds" else key): data[key] for key in data}
    # JSON has no NaN: a figure that was none is null.
    nan = {name: float("nan") for name in _MEASURED if name in named and named[name] is None}
    return Metrics(**{**named, **nan})
