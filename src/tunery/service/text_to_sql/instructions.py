"""What an administrator wants every SQL of a database to heed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunery.core.access import Caller
from tunery.core.ids import new_id
from tunery.core.pages import NumberedPage
from tunery.core.ports import Clock, Shelves
from tunery.core.text_to_sql import Instruction, Metadata


@dataclass(frozen=True, kw_only=True)
class NewInstruction:
    """An instruction as somebody gives it."""

    db_connection_id: str
    instruction: str
    metadata: Metadata | None = None


class Instructions:
    """The use cases of instructions."""

    def __init__(self, store: Shelves, clock: Clock) -> None:
        """`store` keeps them."""
        self._store = store
        self._clock = clock

    def create(self, caller: Caller, new: NewInstruction) -> Instruction:
        """A new instruction; NotFound where the project has no such connection."""
        connection = self._store.connections.get(caller.project_id, new.db_connection_id)
        instruction = Instruction(
            id=new_id(""),
            project_id=caller.project_id,
            db_connection_id=connection.id,
            created_at=self._clock.now(),
            instruction=new.instruction,
            metadata=new.metadata,
        )
        self._store.instructions.add([instruction])
        return instruction

    def list(
        self, caller: Caller, page: NumberedPage, *, connection_id: str | None = None
    ) -> Sequence[Instruction]:
        """The project's instructions, oldest first; those of a connection."""
        return self._store.instructions.list(caller.project_id, parent=connection_id, page=page)

    def replace(
        self, caller: Caller, instruction_id: str, text: str, metadata: Metadata | None
    ) -> Instruction:
        """Say it in other words; NotFound where the project has no such instruction."""
        return self._store.instructions.change(
            caller.project_id,
            instruction_id,
            lambda now: replace(now, instruction=text, metadata=metadata),
        )

    def delete(self, caller: Caller, instruction_id: str) -> None:
        """Forget an instruction; NotFound where the project has none such."""
        self._store.instructions.delete(caller.project_id, instruction_id)
