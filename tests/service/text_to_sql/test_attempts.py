"""Answers come in time, or the wait for them ends."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.dialects.databases import ScriptedDatabases
from tests.service.text_to_sql.wired import Wired
from tests.store.values import OURS
from tunery.blobs.folder import FolderBlobs
from tunery.core.closable import Closable
from tunery.core.errors import InvalidValue, QueryFailed, Unavailable
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.models import BaseModel
from tunery.core.text_to_sql import DatabaseConnection
from tunery.service.text_to_sql.attempts import Answer, Attempts
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.writer import SqlWriter

GOOD = "SELECT count(*) FROM orders"
WRONG = "SELECT count(*) FROM ordres"


class Author:
    """Writes what it is told to, and no more once it is asked to wait."""

    def __init__(self, *says: str | InvalidValue) -> None:
        self.says = list(says)
        self.asked: list[GenerationRequest] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.closed = threading.Event()

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        self.asked.append(request)
        try:
            said = self.says.pop(0)
            if isinstance(said, InvalidValue):
                raise said
            yield Piece(text=said)
            self.go_on.wait(60)
            yield Piece(finish_reason="stop", usage=(5, 2))
        finally:
            self.closed.set()

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        return Measured(context=2048, n_tokens=tuple(len(text.split()) for text in texts))

    def close(self) -> None:
        return


class Asked:
    """A question, and who answers it."""

    def __init__(self, folder: Path, author: Author, *, longest_s: float = 60) -> None:
        self.wired, self.author = Wired(), author
        self.connection: DatabaseConnection = self.wired.connect()
        self.wired.tables.scan(self.wired.tables.list(OURS, self.connection.id))
        self.attempts = Attempts(
            questions=Questions(self.wired.store, author),
            writer=SqlWriter(FolderBlobs(folder), author),
            databases=ConnectedDatabases(self.wired.databases, self.wired.sealer),
            longest_s=longest_s,
        )

    @property
    def databases(self) -> ScriptedDatabases:
        return self.wired.databases

    def answer(self) -> Answer:
        base = BaseModel(
            name="tiny-chat",
            location="/tiny-chat",
            owned_by="tunery",
            created_at=self.wired.clock.now(),
        )
        return self.attempts.answer(
            self.connection, "How many?", schemas=None, base=base, adapter=None
        )


def test_who_takes_too_long_is_not_waited_for_and_stops_at_the_next_word(tmp_path: Path) -> None:
    author = Author(GOOD)
    author.go_on.clear()
    asked = Asked(tmp_path, author, longest_s=0.2)
    with pytest.raises(Unavailable, match=r"timed out: it was not done within 0\.2 seconds"):
        asked.answer()
    assert not author.closed.is_set()
    author.go_on.set()
    assert author.closed.wait(10)
    assert asked.databases.shop.asked == []


def test_what_the_model_lacks_is_not_a_time_that_is_over(tmp_path: Path) -> None:
    asked = Asked(tmp_path, Author(InvalidValue("too long", code="context_length_exceeded")))
    with pytest.raises(InvalidValue, match="too long"):
        asked.answer()


def test_a_repair_that_does_not_fit_leaves_the_first_attempt(tmp_path: Path) -> None:
    asked = Asked(tmp_path, Author(WRONG, InvalidValue("too long")))
    asked.databases.shop.results[WRONG] = QueryFailed("no such table: ordres")
    assert asked.answer() == Answer(sql=WRONG, error="no such table: ordres", tokens_used=7)


def test_nothing_is_asked_a_third_time(tmp_path: Path) -> None:
    asked = Asked(tmp_path, Author(WRONG, WRONG, GOOD))
    asked.databases.shop.results[WRONG] = QueryFailed("no such table: ordres")
    answer = asked.answer()
    assert (answer.error, answer.tokens_used) == ("no such table: ordres", 14)
    assert answer.repaired is not None
    assert asked.author.says == [GOOD]


def test_sql_in_a_trial_is_read_only_and_never_rewritten(tmp_path: Path) -> None:
    asked = Asked(tmp_path, Author())
    with pytest.raises(InvalidValue) as caught:
        asked.attempts.tried(asked.connection, "DELETE FROM orders")
    assert caught.value.code == "not_read_only"
    assert asked.attempts.tried(asked.connection, GOOD) == Answer(sql=GOOD, error=None)
    assert asked.databases.shop.asked == [GOOD]
    assert asked.author.asked == []


def test_an_answer_has_a_quarter_of_the_context_at_most(tmp_path: Path) -> None:
    asked = Asked(tmp_path, Author(GOOD))
    assert asked.answer() == Answer(sql=GOOD, error=None, tokens_used=7)
    assert asked.author.asked[0].max_tokens == 512
