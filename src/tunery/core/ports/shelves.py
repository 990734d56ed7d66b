"""What the doors keep beside jobs, files and models."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from tunery.core.models import Deployment
from tunery.core.pages import NumberedPage
from tunery.core.text_to_sql import (
    DatabaseConnection,
    GoldenRecord,
    Instruction,
    Prompt,
    SqlGeneration,
    TableDescription,
)

Kept = TypeVar("Kept")


class Shelf(Protocol[Kept]):
    """Values of one kind, each of one project, in the order in which they came.

    Some have a parent: what belongs to a database connection, for one.
    """

    def add(self, values: Sequence[Kept]) -> None:
        """Keep `values`, all of them or none; one whose id is there already stays as it is."""

    def get(self, project_id: str, value_id: str) -> Kept:
        """One value; NotFound where the project has none."""

    def list(
        self, project_id: str, *, parent: str | None = None, page: NumberedPage | None = None
    ) -> Sequence[Kept]:
        """The project's values, oldest first; those of `parent`; all of them without a `page`."""

    def count(self, project_id: str, *, parent: str | None = None) -> int:
        """How many values `list` would give without a page."""

    def replace(self, values: Sequence[Kept]) -> None:
        """Keep `values` in the places of those with their ids, all of them or none.

        Raises:
            NotFound: the project has none with that id.
        """

    def change(self, project_id: str, value_id: str, how: Callable[[Kept], Kept]) -> Kept:
        """Keep what `how` makes of a value, which nobody else changes meanwhile.

        `how` may be called again after a conflict. What it raises leaves the value as it was.

        Raises:
            NotFound: the project has none with that id.
        """

    def delete(self, project_id: str, value_id: str) -> None:
        """Forget a value; NotFound where the project has none."""


class Shelves(Protocol):
    """What the doors keep beside jobs, files and models."""

    @property
    def connections(self) -> Shelf[DatabaseConnection]:
        """Databases of the customer's."""

    @property
    def tables(self) -> Shelf[TableDescription]:
        """Their tables; the parent is the connection."""

    @property
    def golden_records(self) -> Shelf[GoldenRecord]:
        """Questions with their SQL; the parent is the connection."""

    @property
    def instructions(self) -> Shelf[Instruction]:
        """What every SQL should heed; the parent is the connection."""

    @property
    def prompts(self) -> Shelf[Prompt]:
        """Questions asked; the parent is the connection."""

    @property
    def sql_generations(self) -> Shelf[SqlGeneration]:
        """SQL written for prompts; the parent is the prompt."""

    @property
    def deployments(self) -> Shelf[Deployment]:
        """Deployments that were asked for; the parent is the model's name."""
