"""Rows become tokens once, and come in an order that the seed and the epoch decide."""

from itertools import chain
from pathlib import Path

import pytest

from tests.modeling.templates import CHATML, tokenizer
from tests.trainers.conftest import chat, preference, write
from tunery.core.errors import InvalidFile
from tunery.modeling.chat import Chat
from tunery.trainers.text_data import batches, load_examples


def test_examples_are_the_rows_encoded(tmp_path: Path) -> None:
    speaker = Chat(tokenizer(CHATML))
    rows = [chat("Hello there", "I am well."), chat("two", "Four.")]
    path = write(tmp_path / "rows", [*rows, {"prompt": "What is ", "completion": "two"}])
    examples = load_examples(path, speaker, context=100, overlong="error")
    expected = [speaker.encode_conversation(row["messages"]) for row in rows]
    expected += speaker.encode([speaker.completion("What is ", "two")])
    assert len(examples) == 3
    for index, encoded in enumerate(expected):
        segment = examples.segments([index], None)[0]
        assert segment.ids.tolist() == encoded.ids
        assert segment.learn.tolist() == encoded.learn
    assert examples.n_taught == sum(sum(encoded.learn) for encoded in expected)


def test_more_rows_than_the_tokenizer_takes_at_a_time_keep_their_order(tmp_path: Path) -> None:
    speaker = Chat(tokenizer(CHATML))
    path = write(tmp_path / "rows", [chat("two", f"Four {i}") for i in range(1100)])
    examples = load_examples(path, speaker, context=None, overlong="error")
    assert len(examples) == 1100
    for index in (0, 511, 512, 1099):
        text = speaker.tokenizer.decode(examples.segments([index], None)[0].ids)
        assert f"Four {index}<" in text


def test_rows_that_cannot_be_used_are_named_together(tmp_path: Path) -> None:
    speaker = Chat(tokenizer(CHATML))
    rows = [chat("two", "Four."), chat("two " * 99, "Four."), chat("two", "Four " * 99)]
    path = write(tmp_path / "rows", rows)
    with pytest.raises(InvalidFile, match="2 rows of the training file") as refused:
        load_examples(path, speaker, context=60, overlong="error")
    assert [problem.line for problem in refused.value.problems] == [2, 3]
    assert 'overlong "drop" or "truncate"' in refused.value.problems[0].message


def test_cutting_and_dropping_are_counted(tmp_path: Path) -> None:
    speaker = Chat(tokenizer(CHATML))
    rows = [chat("two", "Four."), chat("two " * 99, "Four."), chat("two", "Four " * 99)]
    path = write(tmp_path / "rows", rows)
    dropped = load_examples(path, speaker, context=60, overlong="drop")
    assert (len(dropped), dropped.n_dropped, dropped.n_cut) == (1, 2, 0)
    cut = load_examples(path, speaker, context=60, overlong="truncate")
    assert (len(cut), cut.n_dropped, cut.n_cut, cut.n_silent) == (2, 0, 2, 1)
    assert cut.segments([1], None)[0].ids.shape == (60,)


def test_a_preference_is_two_sequences_the_better_one_first(tmp_path: Path) -> None:
    speaker = Chat(tokenizer(CHATML))
    rows = [preference("two", f"Four {i}.", f"Blue {i}.") for i in range(3)]
    path = write(tmp_path / "rows", rows)
    pairs = load_examples(path, speaker, context=None, overlong="error", width=2)
    assert len(pairs) == 3
    segments = pairs.segments([2, 0], None)
    said = [speaker.tokenizer.decode(s.ids[s.learn]) for s in segments]
    assert said == [f"{word} {i}.<|im_end|>" for i in (2, 0) for word in ("Four", "Blue")]
    assert pairs.lengths.tolist()[2] == sum(len(segment.ids) for segment in segments[:2])


def test_the_longer_answer_decides_what_becomes_of_a_pair(tmp_path: Path) -> None:
    speaker = Chat(tokenizer(CHATML))
    rows = [
        preference("two", "Four.", "Blue."),
        preference("two", "Four.", "Blue " * 99),
        preference("two " * 99, "Four.", "Blue."),
    ]
    path = write(tmp_path / "rows", rows)
    with pytest.raises(InvalidFile) as refused:
        load_examples(path, speaker, context=60, overlong="error", width=2)
    assert [problem.line for problem in refused.value.problems] == [2, 3]
    dropped = load_examples(path, speaker, context=60, overlong="drop", width=2)
    assert (len(dropped), dropped.n_dropped) == (1, 2)
    cut = load_examples(path, speaker, context=60, overlong="truncate", width=2)
    assert (len(cut), cut.n_cut, cut.n_silent) == (2, 2, 1)
    assert max(len(segment.ids) for segment in cut.segments([0, 1], None)) == 60


@pytest.mark.parametrize(("width", "wrong"), [(1, [2]), (2, [1, 3])])
def test_rows_for_another_method_are_named_by_their_lines(
    tmp_path: Path, width: int, wrong: list[int]
) -> None:
    rows = [chat("two", "Four."), preference("two", "Four.", "Blue."), chat("two", "Four.")]
    path = write(tmp_path / "rows", rows)
    with pytest.raises(InvalidFile, match="which this job cannot learn from") as refused:
        load_examples(path, Chat(tokenizer(CHATML)), context=60, overlong="error", width=width)
    assert [problem.line for problem in refused.value.problems] == wrong


def test_every_epoch_sees_every_row_once_in_an_order_of_its_own() -> None:
    steps = list(batches(10, batch_size=4, n_epochs=3, seed=1))
    assert [len(step) for step in steps] == [4, 4, 2] * 3
    epochs = [list(chain(*steps[first : first + 3])) for first in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("first_step", [2, 3, 4, 7, 9, 10])
def test_the_order_goes_on_where_it_was(first_step: int) -> None:
    whole = list(batches(10, batch_size=4, n_epochs=3, seed=1))
    rest = list(batches(10, batch_size=4, n_epochs=3, seed=1, first_step=first_step))
    assert rest == whole[first_step - 1 :]


def test_seeds_make_different_orders() -> None:
    orders = [
        [tuple(step) for step in batches(10, batch_size=4, n_epochs=2, seed=seed)]
        for seed in (0, 1, 2**31 - 1)
    ]
    assert len({tuple(order) for order in orders}) == 3
