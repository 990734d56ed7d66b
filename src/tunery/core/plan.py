"""What a job will do, once it is known how much there is to learn from."""

import math
from dataclasses import dataclass, replace

from tunery.core.hyperparameters import (
    Hyperparameters,
    Precision,
    ResolvedHyperparameters,
    TuningDefaults,
    resolve,
    total_steps,
)
from tunery.core.method import AUTO_BETA, Method, Preference, Subject, Supervised


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers that a job runs with, and how many optimizer steps that makes."""

    resolved: ResolvedHyperparameters
    total_steps: int


def plan(
    method: Method,
    *,
    n_examples: int,
    defaults: TuningDefaults,
    precision: Precision | None = None,
) -> Plan:
    """What `method` comes to on a training set of `n_examples` rows or pictures.

    `precision` is what a model of text is to compute in.
    """
    planned = _planned(method, n_examples, defaults)
    return replace(planned, resolved=replace(planned.resolved, precision=precision))


def _planned(method: Method, n_examples: int, defaults: TuningDefaults) -> Plan:
    match method:
        case Supervised():
            return _by_epochs(method.hyperparameters, n_examples, defaults)
        case Preference():
            return _preferring(method, n_examples, defaults)
        case Subject():
            return _by_iterations(method, n_examples, defaults)


def _by_epochs(asked: Hyperparameters, n_examples: int, defaults: TuningDefaults) -> Plan:
    resolved = resolve(asked, n_examples=n_examples, defaults=defaults)
    return Plan(resolved=resolved, total_steps=total_steps(resolved, n_examples=n_examples))


def _preferring(method: Preference, n_examples: int, defaults: TuningDefaults) -> Plan:
    """As supervised, but slower: the loss sums over an answer's tokens and has no floor."""
    rate = defaults.preference_learning_rate or defaults.learning_rate / 10
    defaults = replace(defaults, learning_rate=rate)
    planned = _by_epochs(method.hyperparameters, n_examples, defaults)
    beta = AUTO_BETA if method.beta == "auto" else method.beta
    return replace(planned, resolved=replace(planned.resolved, beta=beta))


def _by_iterations(method: Subject, n_examples: int, defaults: TuningDefaults) -> Plan:
    """Steps are what is asked for here; epochs follow."""
    if method.finetune_type == "full" and defaults.full_learning_rate is not None:
        defaults = replace(defaults, learning_rate=defaults.full_learning_rate)
    resolved = resolve(method.hyperparameters, n_examples=n_examples, defaults=defaults)
    n_epochs = math.ceil(method.iterations * resolved.batch_size / n_examples)
    return Plan(resolved=replace(resolved, n_epochs=n_epochs), total_steps=method.iterations)
