"""The use cases over scripted databases, in memory."""

from dataclasses import dataclass, field

from tests.dialects.databases import SHOP, HidingSealer, ScriptedDatabases
from tests.store.values import OURS, THEIRS, MovableClock, first_key
from tunery.core.access import Caller
from tunery.core.text_to_sql import DatabaseConnection
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.connections import Connections, NewConnection
from tunery.service.text_to_sql.golden_records import GoldenRecords
from tunery.service.text_to_sql.instructions import Instructions
from tunery.service.text_to_sql.secrets import Secret
from tunery.service.text_to_sql.tables import Tables
from tunery.store.memory import MemoryStore


@dataclass
class Wired:
    """Everything that the use cases are made of."""

    clock: MovableClock = field(default_factory=MovableClock)
    databases: ScriptedDatabases = field(default_factory=ScriptedDatabases)
    sealer: HidingSealer = field(default_factory=HidingSealer)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        for caller in (OURS, THEIRS):
            self.store.add_project(caller, first_key(caller))
        connected = ConnectedDatabases(self.databases, self.sealer)
        self.tables = Tables(self.store, connected, self.clock)
        self.connections = Connections(
            store=self.store,
            databases=connected,
            sealer=self.sealer,
            tables=self.tables,
            clock=self.clock,
        )
        self.golden_records = GoldenRecords(self.store, self.clock)
        self.instructions = Instructions(self.store, self.clock)

    def connect(
        self, caller: Caller = OURS, *, uri: str = SHOP, schemas: tuple[str, ...] | None = None
    ) -> DatabaseConnection:
        """A connection to the shop, or to another database."""
        new = NewConnection(alias="shop", uri=Secret(uri), schemas=schemas)
        return self.connections.create(caller, new)
