"""What fits of a database before a question."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.service.text_to_sql.shop import BASE, CUSTOMERS, SHOP, STAFF, one_of, table, text
from tunery.bases.catalog import BUILT_IN
from tunery.core.closable import Closable
from tunery.core.errors import InvalidValue
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.text_to_sql import TableDescription
from tunery.inference.process import ChildGenerator
from tunery.modeling.chat import Chat
from tunery.modeling.load import load_tokenizer
from tunery.service.text_to_sql.booklet import Booklet
from tunery.service.text_to_sql.lengths import Lengths
from tunery.service.text_to_sql.tables_as_text import Detail, table_as_text


class Characters:
    """A model with a token for each character."""

    def __init__(self, context: int | None) -> None:
        self._context = context
        self.measured: list[list[str]] = []

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        raise AssertionError("a booklet asks for no text")

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        self.measured.append(list(texts))
        return Measured(context=self._context, n_tokens=tuple(len(text) for text in texts))

    def close(self) -> None:
        return


def booklet(
    context: int | None,
    tables: Sequence[TableDescription] = SHOP,
    instructions: Sequence[str] = (),
) -> Booklet:
    lengths = Lengths(Characters(context), BASE)
    return Booklet(dialect="sqlite", tables=tables, instructions=instructions, lengths=lengths)


def told(messages: list[dict[str, str]]) -> list[str]:
    """The names of the tables in the system message."""
    lines = messages[0]["content"].partition("Tables:\n")[2].splitlines()
    return [line.partition("(")[0] for line in lines if not line.startswith("--")]


def test_where_there_is_room_all_tables_stand_in_their_own_order_with_samples() -> None:
    messages = booklet(10_000).asked("Which staff?").messages
    assert told(messages) == [table.table_name for table in SHOP]
    assert messages[0]["content"].startswith("Answer with one SQLite query.\nTables:\ncustomers(")
    assert "\n-- 1 | Ada | Oslo\n" in messages[0]["content"]
    assert messages[1:] == [{"role": "user", "content": "Which staff?"}]


def test_a_small_context_gets_names_and_what_points_where() -> None:
    system = booklet(2_000).asked("Which orders are paid?").messages[0]["content"]
    assert system.splitlines()[2:5] == [
        "customers(id, name, town)",
        "products(id, title, price)",
        "orders(id, customer_id -> customers.id, status)",
    ]


def test_what_the_administrator_wants_heeded_stands_before_the_tables() -> None:
    system = (
        booklet(10_000, instructions=["Never show\n names.", "Be brief."]).asked("x?").messages[0]
    )
    assert system["content"].startswith(
        "Answer with one SQLite query.\nHeed this:\n- Never show names.\n- Be brief.\nTables:\n"
    )


def test_training_says_the_same_as_asking_and_the_answer() -> None:
    asked = booklet(10_000).asked("Which staff?").messages
    taught = booklet(10_000).asked("Which staff?", known_tables={"staff"}, sql="SELECT 1").messages
    assert taught == [*asked, {"role": "assistant", "content": "SELECT 1"}]


def test_with_less_room_all_tables_are_told_of_in_fewer_words() -> None:
    notes = [table(f"notes_{n}", text("body"), description="what was said") for n in range(9)]
    described = [*SHOP, *notes]
    messages = booklet(2_400, described).asked("Which order is paid?").messages
    assert told(messages) == [table.table_name for table in described]
    assert "what was said" not in messages[0]["content"]


STRANGERS = [table(f"stranger_{n}", text("x" * 90)) for n in range(30)]


def test_with_little_room_the_tables_that_matter_stand_there_in_the_databases_order() -> None:
    tables = [CUSTOMERS, *STRANGERS, STAFF]
    question = "At which desk do staff sit who know customers?"
    assert told(booklet(400, tables).asked(question).messages) == ["customers", "staff"]


def test_the_tables_that_the_answer_names_are_told_of_whatever_the_question_says() -> None:
    taught = booklet(600).asked("Which customers?", known_tables={"staff"}, sql="SELECT 1").messages
    assert "staff" in told(taught)


def wide(n_columns: int) -> TableDescription:
    columns = [text(f"column_{n}", description="what it holds") for n in range(n_columns)]
    return table("wide", *columns, one_of("kind", "red", "green"), description="a wide table")


def test_a_table_that_is_too_long_loses_categories_then_comments_then_columns() -> None:
    one = wide(30)

    def system(budget: int) -> str:
        told_of = booklet(4 * budget, [one])
        return told_of.asked("?", known_tables=["wide"], sql="SELECT column_7").messages[0][
            "content"
        ]

    lengths = [len(table_as_text(one, detail, dialect="sqlite")) for detail in Detail]
    full, commented, bare, names, narrow = map(system, [*lengths, 250])
    assert "green" in full
    assert "what it holds" in commented
    assert "green" not in commented
    assert "column_29 varchar" in bare
    assert "what it holds" not in bare
    assert "column_29, kind)" in names
    assert narrow.endswith("wide(column_7)")


def test_what_does_not_fit_even_so_is_refused_by_name() -> None:
    sql = "SELECT " + ", ".join(f"column_{n}" for n in range(30))
    with pytest.raises(InvalidValue, match=r"\(wide\) have \d+ tokens even in fewest") as refused:
        booklet(1_000, [wide(30)]).asked("?", known_tables=["wide"], sql=sql)
    assert refused.value.code == "context_length_exceeded"


def test_a_question_longer_than_the_context_is_refused() -> None:
    with pytest.raises(InvalidValue, match="context is 1000"):
        booklet(1_000).asked("why " * 250)


def test_a_long_question_takes_room_from_the_tables_and_never_from_the_answer() -> None:
    context = 3_000
    question = "Which staff? " * 170
    messages = booklet(context).asked(question).messages
    n_tokens = sum(len(message["content"]) for message in messages)
    assert "staff" in told(messages)
    assert len(told(messages)) < len(SHOP)
    assert n_tokens + 512 < context


def test_a_database_without_scanned_tables_cannot_be_asked_about() -> None:
    with pytest.raises(InvalidValue, match="No table of the database is scanned"):
        booklet(1_000, [])


def test_a_model_that_does_not_say_its_context_has_an_ordinary_one() -> None:
    assert "Ada" in booklet(None).asked("Which customers?").messages[0]["content"]


def test_every_text_is_measured_once_and_all_tables_in_one_call() -> None:
    generator = Characters(4_000)
    lengths = Lengths(generator, BASE)
    made = Booklet(dialect="sqlite", tables=SHOP, instructions=[], lengths=lengths)
    n_calls = len(generator.measured)
    lengths.learn(["Which staff?", "Which customers?", "SELECT 1", "Which staff?"])
    for question in ("Which staff?", "Which customers?"):
        made.asked(question, sql="SELECT 1")
    assert n_calls == 1 or (n_calls == 2 and not generator.measured[1])
    assert len(generator.measured) <= n_calls + 1
    every = [text for call in generator.measured for text in call]
    assert len(every) == len(set(every))


def test_much_text_is_measured_in_several_calls() -> None:
    generator = Characters(4_000)
    Lengths(generator, BASE).learn(f"{n} " * 200_000 for n in range(10, 14))
    assert [len(call) for call in generator.measured] == [1, 1, 1, 1]


def test_staff_alone_is_described_by_name() -> None:
    assert told(booklet(4_000, [STAFF]).asked("Who?").messages) == ["staff"]


def test_tokens_add_up_to_what_the_models_own_tokenizer_counts() -> None:
    folder = BUILT_IN / "tiny-chat"
    generator = ChildGenerator(threads=1)
    try:
        lengths = Lengths(generator, replace(BASE, location=str(folder)))
        made = Booklet(dialect="sqlite", tables=SHOP, instructions=[], lengths=lengths)
        asked = made.asked("At which desk?", known_tables=["staff"], sql="SELECT desk FROM staff")
    finally:
        generator.close()
    encoded = Chat(load_tokenizer(folder)).encode_conversation(asked.messages)
    around = len(asked.messages) * 4
    assert lengths.context == 2048
    assert asked.n_tokens <= len(encoded.ids) <= asked.n_tokens + around
