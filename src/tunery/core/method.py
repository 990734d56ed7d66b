"""How a job learns. A closed union: a new method is a new case, found by the type checker."""

from dataclasses import dataclass, field

from tunery.core.hyperparameters import Hyperparameters


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """Next-token loss on the assistant's tokens."""

    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)


Method = Supervised
"""Every method there is."""
