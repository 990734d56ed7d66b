"""What requests at every door hold is read in one way."""

import pytest

from tunery.core.errors import NotFound
from tunery.dialects.requests import read_job_id


def test_a_bare_id_is_read_as_the_whole_one() -> None:
    digits = "0123456789abcdef01234567"
    assert read_job_id(digits) == read_job_id(f"ftjob-{digits}") == f"ftjob-{digits}"
    for wrong in ("ftjob-nope", digits[:-1], f"ftjob-{digits}0", f"{digits}\n", "\0", ""):
        with pytest.raises(NotFound):
            read_job_id(wrong)
