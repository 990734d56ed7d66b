"""Whether requests can be served and jobs can start."""

from collections.abc import Mapping

from tunery.core.errors import TuneryError
from tunery.core.ports import Engine, Store


class Health:
    """Asks the store and the engines."""

    def __init__(self, store: Store, engines: Mapping[str, Engine]) -> None:
        """Nothing is asked yet."""
        self._store = store
        self._engines = engines

    def trouble(self) -> str | None:
        """What stands in the way; None where all is well."""
        try:
            self._store.ping()
        except TuneryError as error:
            return error.message
        waiting = [name for name, engine in self._engines.items() if not engine.ready()]
        return f"engines not ready: {', '.join(waiting)}" if waiting else None
