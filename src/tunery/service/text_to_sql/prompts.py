"""Prompts: questions that somebody asks of a database."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunery.core.access import Caller
from tunery.core.ids import new_id
from tunery.core.ports import Clock, Shelves
from tunery.core.text_to_sql import Metadata, Prompt
from tunery.service.text_to_sql.ids import object_id
from tunery.service.text_to_sql.schemas import check_schemas


@dataclass(frozen=True, kw_only=True)
class NewPrompt:
    """A question as somebody asks it."""

    db_connection_id: str
    text: str
    schemas: tuple[str, ...] | None = None
    metadata: Metadata | None = None


class Prompts:
    """The use cases of prompts."""

    def __init__(self, *, store: Shelves, clock: Clock) -> None:
        """`store` keeps them."""
        self._store = store
        self._clock = clock

    def create(self, caller: Caller, new: NewPrompt) -> Prompt:
        """A new prompt, kept; raises as `made`."""
        prompt = self.made(caller, new)
        self.keep(prompt)
        return prompt

    def made(self, caller: Caller, new: NewPrompt) -> Prompt:
        """The prompt that `new` would be; nobody else knows it yet.

        Raises:
            InvalidValue: the connection's id is malformed, or a schema is none of its.
            NotFound: the project has no such connection.
        """
        connection_id = object_id(new.db_connection_id, param="db_connection_id")
        connection = self._store.connections.get(caller.project_id, connection_id)
        check_schemas(new.schemas, connection)
        return Prompt(
            id=new_id(""),
            project_id=caller.project_id,
            db_connection_id=connection.id,
            created_at=self._clock.now(),
            text=new.text,
            schemas=new.schemas or None,
            metadata=new.metadata,
        )

    def keep(self, prompt: Prompt) -> None:
        """Keep what `made` gave."""
        self._store.prompts.add([prompt])

    def get(self, caller: Caller, prompt_id: str) -> Prompt:
        """One prompt.

        Raises:
            InvalidValue: the id is malformed.
            NotFound: the project has none such.
        """
        return self._store.prompts.get(caller.project_id, object_id(prompt_id, param="prompt_id"))

    def list(self, caller: Caller, *, connection_id: str | None = None) -> Sequence[Prompt]:
        """The project's prompts, oldest first; those of a connection."""
        return self._store.prompts.list(caller.project_id, parent=connection_id)

    def set_metadata(self, caller: Caller, prompt_id: str, metadata: Metadata | None) -> Prompt:
        """Replace the metadata whole; raises as `get`."""
        return self._store.prompts.change(
            caller.project_id,
            object_id(prompt_id, param="prompt_id"),
            lambda now: replace(now, metadata=metadata),
        )
