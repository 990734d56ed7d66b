"""What a model is asked again and again while it learns, so that one can watch it change."""

from collections.abc import Sequence

from tunery.core.errors import InvalidValue

MOST_PROMPTS = 5
MOST_CHARACTERS = 4_000
"""As long as a prompt may be."""


def check_prompts(prompts: Sequence[str]) -> None:
    """Refuse, with InvalidValue, prompts of which there are too many, or that are none."""
    if len(prompts) > MOST_PROMPTS:
        raise InvalidValue(
            f"sample_prompts has {len(prompts)} prompts; {MOST_PROMPTS} are the most",
            param="sample_prompts",
        )
    for place, prompt in enumerate(prompts):
        if not prompt.strip():
            raise InvalidValue(
                f"sample_prompts[{place}] is empty; leave it out, or ask something",
                param="sample_prompts",
            )
        if len(prompt) > MOST_CHARACTERS:
            raise InvalidValue(
                f"sample_prompts[{place}] has {len(prompt)} characters; "
                f"{MOST_CHARACTERS} are the most",
                param="sample_prompts",
            )
