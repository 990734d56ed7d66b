"""The table of words is complete, and only those of the official enum are in it."""

from typing import get_args

from openai.types.fine_tuning import FineTuningJob

from tunery.core.job import JobStatus
from tunery.dialects.openai.fine_tuning import mapping, schemas


def test_every_status_has_a_word_that_the_official_client_knows() -> None:
    assert set(mapping.STATUS) == set(JobStatus)
    known = get_args(FineTuningJob.model_fields["status"].annotation)
    assert set(mapping.STATUS.values()) <= set(known)
    assert set(get_args(schemas.Status)) == set(known)


def test_our_own_keys_are_the_documented_ones() -> None:
    assert set(schemas.X_TUNERY_KEYS) == {
        "engine",
        "dry_run",
        "overlong",
        "sample_prompts",
        "learning_rate",
        "r",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "warmup_ratio",
        "weight_decay",
    }
