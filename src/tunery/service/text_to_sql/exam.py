"""Base and tuned model on golden records that neither was trained on."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import msgspec

from tunery.core.errors import Unavailable
from tunery.core.job import FineTuningJob
from tunery.core.models import BaseModel
from tunery.core.ports import Blobs, Catalog, Shelves
from tunery.core.progress import Evaluated, Score
from tunery.service.text_to_sql.booklet import LONGEST_ANSWER, Messages
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.golden_sql import AT_ONCE
from tunery.service.text_to_sql.marking import HeldOut, Mark, Marking
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.side_by_side import aside, side_by_side
from tunery.service.text_to_sql.training_set import source_of
from tunery.service.text_to_sql.writer import SqlWriter

LONGEST_S = 1800.0
"""An exam takes no longer: other jobs wait for the slot."""
_ASKED_AT_ONCE = 8
_TOLD_EVERY = 10
"""So many answers, and the job's owner is told how far it is."""


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """Who is asked."""

    name: str
    base: BaseModel
    adapter: str | None
    longest: int
    """An answer with more tokens is none, and is not waited for."""


class _Row(msgspec.Struct, frozen=True):
    """A line of the validation file."""

    messages: Messages


class SqlExaminer:
    """The `Examiner` port."""

    def __init__(
        self,
        *,
        store: Shelves,
        databases: ConnectedDatabases,
        questions: Questions,
        writer: SqlWriter,
        catalog: Catalog,
        blobs: Blobs,
    ) -> None:
        """`blobs` has the held-out rows; `databases` say what is right."""
        self._store = store
        self._databases = databases
        self._questions = questions
        self._writer = writer
        self._catalog = catalog
        self._blobs = blobs

    def examine(
        self,
        job: FineTuningJob,
        adapter: str,
        *,
        wanted: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> Evaluated | None:
        """How both did; None where nothing was held out.

        Raises:
            NotFound: the connection is gone.
            QueryFailed: golden SQL runs no longer.
            Unavailable: no answers can be had now, `wanted` says no, or it takes too long.
        """
        if job.validation_file is None:
            return None
        wanted = _in_time(wanted)
        connection_id = source_of(job).db_connection_id
        connection = self._store.connections.get(job.project_id, connection_id)
        marking = Marking(connection, self._databases)
        rows = self._rows(job.validation_file)
        asked = list(side_by_side(marking.held_out, rows, at_once=AT_ONCE, wanted=wanted))
        base = self._catalog.resolve(job.base_model)
        longest = aside(lambda: self._longest_answer(base, asked), wanted=wanted)

        def score(name: str, adapter: str | None) -> Score:
            candidate = _Candidate(name=name, base=base, adapter=adapter, longest=longest)
            return self._score(candidate, asked, marking, wanted, tell)

        return Evaluated(
            base=score("The base model", None), tuned=score("The tuned model", adapter)
        )

    def _score(
        self,
        candidate: _Candidate,
        asked: Sequence[HeldOut],
        marking: Marking,
        wanted: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> Score:
        """What the candidate is worth, several questions asked at a time."""
        over = threading.Event()

        def mark(each: HeldOut) -> Mark:
            written = self._writer.write(
                each.messages,
                base=candidate.base,
                adapter=candidate.adapter,
                max_tokens=candidate.longest,
                wanted=lambda: not over.is_set(),
            )
            return marking.mark(each, written.sql)

        marks: list[Mark] = []
        try:
            for each in side_by_side(mark, asked, at_once=_ASKED_AT_ONCE, wanted=wanted):
                marks.append(each)
                if len(marks) % _TOLD_EVERY == 0:
                    tell(f"{candidate.name}: {len(marks)} of {len(asked)} questions answered")
        finally:
            over.set()
        return Score(
            n=len(marks),
            exact_match=sum(mark.is_exact for mark in marks),
            execution_match=sum(mark.is_right for mark in marks),
        )

    def _rows(self, file_id: str) -> list[Messages]:
        data = b"".join(self._blobs.read(f"files/{file_id}"))
        return [msgspec.json.decode(line, type=_Row).messages for line in data.splitlines()]

    def _longest_answer(self, base: BaseModel, asked: Sequence[HeldOut]) -> int:
        """Twice as many tokens as the longest golden SQL has: what is longer is something else."""
        lengths = self._questions.lengths(base)
        lengths.learn(each.sql for each in asked)
        return min(LONGEST_ANSWER, 2 * max(lengths[each.sql] for each in asked))


def _in_time(wanted: Callable[[], bool]) -> Callable[[], bool]:
    """`wanted`, which raises `Unavailable` once an exam has taken too long."""
    ends = monotonic() + LONGEST_S

    def wanted_in_time() -> bool:
        if monotonic() > ends:
            raise Unavailable(f"it was not done within {LONGEST_S / 60:g} minutes.")
        return wanted()

    return wanted_in_time
