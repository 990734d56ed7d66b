"""Methods refuse what is out of range, and become plans."""

import math

import pytest

from tunery.core.errors import InvalidValue
from tunery.core.hyperparameters import Hyperparameters, TuningDefaults
from tunery.core.method import Preference, Subject, Supervised
from tunery.core.plan import plan

DEFAULTS = TuningDefaults(learning_rate=1e-3)


@pytest.mark.parametrize("beta", [0.0, -0.1, 2.001, math.nan, math.inf])
def test_beta_is_above_0_and_at_most_2(beta: float) -> None:
    with pytest.raises(InvalidValue, match="above 0 and at most 2") as refused:
        Preference(beta=beta)
    assert refused.value.param == "beta"
    assert Preference(beta=2.0).beta == 2.0


def test_auto_is_a_beta_of_a_tenth() -> None:
    resolved = plan(Preference(), n_examples=100, defaults=DEFAULTS).resolved
    assert resolved.beta == 0.1
    asked = plan(Preference(beta=0.5), n_examples=100, defaults=DEFAULTS).resolved
    assert asked.beta == 0.5


def test_preferences_are_learnt_at_a_rate_of_their_own() -> None:
    planned = plan(Preference(), n_examples=100, defaults=DEFAULTS)
    supervised = plan(Supervised(), n_examples=100, defaults=DEFAULTS)
    assert planned.resolved.learning_rate == pytest.approx(1e-4)
    assert supervised.resolved.learning_rate == 1e-3
    assert planned.total_steps == supervised.total_steps
    known = TuningDefaults(learning_rate=1e-3, preference_learning_rate=5e-4)
    assert plan(Preference(), n_examples=100, defaults=known).resolved.learning_rate == 5e-4
    asked = Preference(hyperparameters=Hyperparameters(learning_rate=7e-5))
    assert plan(asked, n_examples=100, defaults=known).resolved.learning_rate == 7e-5


def test_only_preferences_have_a_beta() -> None:
    assert plan(Supervised(), n_examples=100, defaults=DEFAULTS).resolved.beta is None


@pytest.mark.parametrize("word", ["", " ", "a\nlicense: mit", "a\x1b[31m", "a\u2028b", "a\x85b"])
def test_a_trigger_word_is_on_one_line_and_says_something(word: str) -> None:
    with pytest.raises(InvalidValue, match="on one line") as refused:
        Subject(trigger_word=word)
    assert refused.value.param == "trigger_word"
    assert Subject(trigger_word="snow leopard 🧑‍🚀").trigger_word == "snow leopard 🧑‍🚀"
