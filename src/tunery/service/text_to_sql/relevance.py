"""Which tables a question is about, by the words that both have."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from heapq import heapify, heappop, heappush

from tunery.core.text_to_sql import TableDescription

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_EMPTY = re.compile(
    "a|all|an|and|any|are|as|at|be|been|by|did|do|does|for|from|had|has|have|how|i|in|is|it|its|"
    "list|many|me|more|most|much|of|on|or|our|per|show|than|that|the|their|there|this|to|was|were|"
    "what|when|where|which|who|whose|whom|will|with"
)
"""Words of questions that say nothing about tables."""

_TABLE_NAME, _COLUMN_NAME, _CATEGORY, _DESCRIPTION = 3.0, 2.0, 2.0, 1.0
"""What a word is worth by where it stands."""
_NEIGHBOUR = 0.5
"""The share of its worth that a chosen table lends to those it is joined to."""


def words(text: str) -> frozenset[str]:
    """The words of `text`, each cut down to what its forms have in common."""
    found = {word.lower() for word in _WORD.findall(text)}
    return frozenset(_stem(word) for word in found if not _EMPTY.fullmatch(word))


def is_named(table: TableDescription, names: Collection[str]) -> bool:
    """Whether `names`, with or without their schemas, are about `table`."""
    plain = table.table_name.lower()
    full = f".{table.schema_name}.{plain}".lower() if table.schema_name else f".{plain}"
    # A name may have dots in it, or a database before its schema.
    return any(name == plain or f".{name}".endswith(full) for name in map(str.lower, names))


class Relevance:
    """The tables of a database, by what questions say."""

    def __init__(self, tables: Sequence[TableDescription]) -> None:
        """Read the names, descriptions and categories of `tables`."""
        self._tables = tables
        self._worths = [_worths(table) for table in tables]
        n_tables_with = Counter(word for worths in self._worths for word in worths)
        self._rarity = {
            word: math.log(1 + len(tables) / n_tables) for word, n_tables in n_tables_with.items()
        }
        self._joined = _joined(tables)

    def ranked(self, question: str, known: Collection[int] = ()) -> list[int]:
        """The places of all tables, those that matter most first; before them the `known`.

        A table is worth the words that it shares with the question, rare ones more, and half of
        what a table before it is worth that it is joined to. Equals keep the database's order.
        """
        asked = words(question)
        own = [self._worth(place, asked) for place in range(len(self._tables))]
        top = max(own, default=0.0) + 1.0
        lent = [0.0] * len(own)
        # Where it stands in the database decides between equals.
        waiting = [(at not in known, -worth, at) for at, worth in enumerate(own)]
        heapify(waiting)
        ranked: dict[int, None] = {}
        while waiting:
            chosen = heappop(waiting)[2]
            if chosen in ranked:  # it was worth more meanwhile, and came then
                continue
            ranked[chosen] = None
            loan = _NEIGHBOUR * (top if chosen in known else own[chosen] + lent[chosen])
            for other in self._joined[chosen]:
                if loan > lent[other]:
                    lent[other] = loan
                    heappush(waiting, (other not in known, -(own[other] + loan), other))
        return list(ranked)

    def _worth(self, place: int, asked: Collection[str]) -> float:
        worths = self._worths[place]
        return math.fsum(worths[word] * self._rarity[word] for word in asked if word in worths)


def _worths(table: TableDescription) -> Mapping[str, float]:
    """What each word is worth that stands in `table`: the most of its places."""
    places = [
        (_TABLE_NAME, [table.table_name]),
        (_COLUMN_NAME, [column.name for column in table.columns]),
        (_CATEGORY, [value for column in table.columns for value in column.categories or ()]),
        (_DESCRIPTION, [table.description or ""]),
        (_DESCRIPTION, [column.description or "" for column in table.columns]),
    ]
    worths: dict[str, float] = {}
    for worth, texts in places:
        for word in frozenset[str]().union(*map(words, texts)):
            worths[word] = max(worth, worths.get(word, 0.0))
    return worths


def _joined(tables: Sequence[TableDescription]) -> list[set[int]]:
    """For each table the places of those that it points to and that point to it."""
    joined: list[set[int]] = [set() for _ in tables]
    by_name: dict[str, list[int]] = {}
    for place, table in enumerate(tables):
        by_name.setdefault(table.table_name.lower(), []).append(place)
    for place, table in enumerate(tables):
        targets = [c.foreign_key.reference_table for c in table.columns if c.foreign_key]
        for target in targets:
            for other in by_name.get(target.lower().rpartition(".")[2], ()):
                if other != place and is_named(tables[other], [target]):
                    joined[place].add(other)
                    joined[other].add(place)
    return joined


def _stem(word: str) -> str:
    """`word` without the endings of plurals and of verbs, and without a last e."""
    if len(word) > 4 and word.endswith("ies"):
        word = f"{word[:-3]}y"
    elif word.endswith(("ches", "shes", "sses", "xes", "zes")):
        word = word[:-2]
    elif len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) >= len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            return word[:-1] if word[-1] == word[-2] and word[-1] not in "ls" else word
    return word[:-1] if len(word) > 3 and word.endswith("e") else word
