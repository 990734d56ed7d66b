"""Both models on what neither was trained on, over a real database."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.text_to_sql.golden import ADAPTER, Goldsmith, always
from tests.service.text_to_sql.shop import CONNECTION
from tunery.core.errors import NotFound, QueryFailed, Unavailable
from tunery.core.job import FineTuningJob
from tunery.core.progress import Evaluated, Score
from tunery.service.text_to_sql import exam


@pytest.fixture
def goldsmith(tmp_path: Path) -> Goldsmith:
    return Goldsmith(tmp_path)


def built(goldsmith: Goldsmith, n: int = 40) -> FineTuningJob:
    """A job whose files are there, and a tuned model that knows every answer."""
    records = goldsmith.records(n)
    job = goldsmith.job(records)
    goldsmith.build(job)
    goldsmith.generator.answers = {record.prompt_text: record.sql for record in records}
    return job


def examined(goldsmith: Goldsmith, job: FineTuningJob) -> Evaluated:
    evaluated = goldsmith.examiner.examine(job, ADAPTER, wanted=always, tell=lambda _: None)
    assert evaluated is not None
    return evaluated


def answering(goldsmith: Goldsmith, job: FineTuningJob, how: Callable[[str], str]) -> Score:
    """What a model is worth that makes something else of each right answer."""
    right = goldsmith.generator.answers
    goldsmith.generator.answers = {question: how(sql) for question, sql in right.items()}
    return examined(goldsmith, job).tuned


def test_a_model_that_knows_every_answer_gets_all_marks_and_the_base_model_none(
    goldsmith: Goldsmith,
) -> None:
    evaluated = examined(goldsmith, built(goldsmith))
    assert evaluated.tuned == Score(n=4, exact_match=4, execution_match=4)
    assert evaluated.base == Score(n=4, exact_match=0, execution_match=0)


def test_both_get_the_held_out_questions_alone_as_they_were_written_down(
    goldsmith: Goldsmith,
) -> None:
    job = built(goldsmith)
    examined(goldsmith, job)
    held_out = [row[:-1] for row in goldsmith.rows(job.validation_file)]
    for adapter in (None, str(goldsmith.blobs.path(ADAPTER))):
        asked = [each.messages for each in goldsmith.generator.asked if each.adapter == adapter]
        assert sorted(map(str, asked)) == sorted(map(str, held_out))


def test_the_same_sql_written_otherwise_is_an_exact_match(goldsmith: Goldsmith) -> None:
    score = answering(
        goldsmith, built(goldsmith), lambda sql: f"```sql\n{sql.replace('SELECT', 'select')}\n```"
    )
    assert (score.exact_match, score.execution_match) == (4, 4)


def test_other_sql_with_the_same_result_is_an_execution_match(goldsmith: Goldsmith) -> None:
    score = answering(
        goldsmith, built(goldsmith), lambda sql: sql.replace("COUNT(*)", "COUNT(orders.id)")
    )
    assert (score.exact_match, score.execution_match) == (0, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        "SELECT -1",
        "SELECT nothing",
        "DROP TABLE customers",
        "",
        "SELECT 1; SELECT 2",
        "I would not know.",
    ],
)
def test_what_gives_something_else_fails_or_may_not_run_is_wrong(
    goldsmith: Goldsmith, wrong: str
) -> None:
    score = answering(goldsmith, built(goldsmith), lambda _: wrong)
    assert score == Score(n=4, exact_match=0, execution_match=0)


def test_without_held_out_records_there_is_no_exam(goldsmith: Goldsmith) -> None:
    job = built(goldsmith, 11)
    assert goldsmith.examiner.examine(job, ADAPTER, wanted=always, tell=lambda _: None) is None
    assert goldsmith.generator.asked == []


def test_the_owner_is_told_every_ten_answers(goldsmith: Goldsmith) -> None:
    job = built(goldsmith, 200)
    told: list[str] = []
    goldsmith.examiner.examine(job, ADAPTER, wanted=always, tell=told.append)
    assert told == [
        "The base model: 10 of 20 questions answered",
        "The base model: 20 of 20 questions answered",
        "The tuned model: 10 of 20 questions answered",
        "The tuned model: 20 of 20 questions answered",
    ]


def test_an_answer_is_not_waited_for_longer_than_any_golden_sql_could_be(
    goldsmith: Goldsmith,
) -> None:
    job = built(goldsmith)
    examined(goldsmith, job)
    longest = max(len(row[-1]["content"].split()) for row in goldsmith.rows(job.validation_file))
    assert {each.max_tokens for each in goldsmith.generator.asked} == {2 * longest}


def test_an_exam_stops_once_nobody_wants_it(goldsmith: Goldsmith) -> None:
    job = built(goldsmith, 200)
    never = threading.Event()
    goldsmith.generator.before = never.wait
    with pytest.raises(Unavailable):
        goldsmith.examiner.examine(
            job, ADAPTER, wanted=lambda: not goldsmith.generator.asked, tell=lambda _: None
        )
    assert len(goldsmith.generator.asked) <= 8
    never.set()


def test_an_exam_that_takes_too_long_is_given_up(
    goldsmith: Goldsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = built(goldsmith)
    never = threading.Event()
    goldsmith.generator.before = never.wait
    monkeypatch.setattr(exam, "LONGEST_S", 0.1)
    with pytest.raises(Unavailable, match=r"^it was not done within .* minutes\.$"):
        examined(goldsmith, job)
    never.set()


def test_a_database_that_is_gone_by_then_is_said(goldsmith: Goldsmith, tmp_path: Path) -> None:
    job = built(goldsmith)
    (tmp_path / "shop.db").unlink()
    with pytest.raises(QueryFailed, match="unable to open"):
        examined(goldsmith, job)
    goldsmith.store.connections.delete(CONNECTION.project_id, CONNECTION.id)
    with pytest.raises(NotFound):
        examined(goldsmith, job)
