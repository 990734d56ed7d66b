"""How many golden records are held out."""

import pytest

from tunery.core.text_to_sql import FEWEST_GOLDEN_RECORDS, n_held_out


@pytest.mark.parametrize(
    ("n", "held_out"),
    [(0, 0), (10, 0), (11, 0), (12, 2), (20, 2), (30, 3), (200, 20), (500, 50), (5000, 50)],
)
def test_a_tenth_of_the_golden_records_is_held_out(n: int, held_out: int) -> None:
    assert n_held_out(n) == held_out


def test_a_job_keeps_enough_to_train_on() -> None:
    for n in range(FEWEST_GOLDEN_RECORDS, 1000):
        assert n - n_held_out(n) >= FEWEST_GOLDEN_RECORDS
        assert n_held_out(n) != 1, "one record says too little"
