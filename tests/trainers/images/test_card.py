import ast
import re

import pytest
from huggingface_hub import ModelCard

from tests.trainers.images.conftest import Changed
from tunery.core.progress import RunRequest
from tunery.trainers.images.card import model_card
from tunery.trainers.images.checkpoints import Position

POSITION = Position(
    step=8,
    total_steps=8,
    n_pictures=5,
    data_sha256="",
    batch_size=2,
    finetune_type="lora",
    r=4,
    seed=7,
    max_rows=64,
)


def card_of(request: RunRequest) -> str:
    assert request.subject is not None
    return model_card(request, request.subject, POSITION, kept=1.0)


@pytest.mark.parametrize(
    "word",
    [
        "TOK",
        "a b: c # d",
        '"); import os; os.system("id"); ("',
        "'\\\"{}",
        "`</code><script>",
        "``` |",
        "雪豹",
        "- x",
        "null",
    ],
)
def test_a_trigger_word_stays_a_word_wherever_the_card_has_it(changed: Changed, word: str) -> None:
    card = card_of(changed(trigger_word=word))
    known = ModelCard(card).data.to_dict()
    assert known["instance_prompt"] == word
    assert set(known) == {"base_model", "library_name", "pipeline_tag", "instance_prompt", "tags"}
    code = re.search("^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    assert code is not None
    called = ast.parse(code[1]).body[-1]
    assert len(ast.parse(code[1]).body) == 4
    assert repr(f"a picture of {word}") in ast.unparse(called)
    # A code span of Markdown ends at as many backticks as it began with, and not before.
    span = re.search(r"draws what (`+)(.*) stands for", card)
    assert span is not None
    assert re.findall("`+", span[2]).count(span[1]) == 1
    assert span[2].endswith(span[1])
