"""A statement as the stores hold it."""

from sqlalchemy import ClauseElement


class Query:
    """A statement that each database compiles once; compared by identity, so it is cheap to find.

    Every value in it is a named parameter: nothing is bound when it is written.
    """

    __slots__ = ("statement",)

    def __init__(self, statement: ClauseElement) -> None:
        """`statement` is never changed."""
        self.statement = statement
