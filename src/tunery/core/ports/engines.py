"""What trains and answers: base models, engines, generators."""

from collections.abc import Callable, Sequence
from typing import Protocol

from tunery.core.closable import Closable
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.job import FineTuningJob
from tunery.core.models import BaseModel
from tunery.core.ports.runs import Run
from tunery.core.preflight import Preflight
from tunery.core.progress import AnyProgress


class Catalog(Protocol):
    """The base models that there are, and the other names that they answer to."""

    def models(self) -> Sequence[BaseModel]:
        """Every base model, by name."""

    def resolve(self, name: str) -> BaseModel:
        """The base model that `name` means, an alias included; NotFound lists what there is."""

    def weights_bytes(self, name: str) -> int:
        """How large the files with the weights of that base model are; NotFound as `resolve`."""


class Engine(Protocol):
    """Something that can carry out a job: this machine, a Ray cluster, another provider."""

    def start(self) -> None:
        """Begin what takes time before the first run."""

    def check(self, job: FineTuningJob) -> None:
        """Raise `Unsupported`, naming the parameter, if this engine cannot run `job`."""

    def preflight(
        self, job: FineTuningJob, *, estimate: bool, wanted: Callable[[], bool] = lambda: True
    ) -> Preflight:
        """What the trainer will see of the job's files; with `estimate`, time and memory too.

        `wanted` is asked every second or so; once it says no, the work ends with `Unavailable`.
        """

    def run(self, run: Run) -> Closable[AnyProgress]:
        """Carry out `run`: progress until `Finished`, and `Alive` every second or so of silence.

        Closing the iterator lets go of local resources and leaves remote work running.
        """

    def pause(self, run: Run) -> None:
        """Ask `run` to save a checkpoint and to end with `Paused`."""

    def cancel(self, run: Run) -> None:
        """Stop the remote work of `run`, if it has any."""

    def ready(self) -> bool:
        """Whether a run could start now."""

    def close(self) -> None:
        """Let go of every local process."""


class Generator(Protocol):
    """Something that yields text from a base model and an optional adapter."""

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        """Text as it comes; closing the iterator stops the work."""

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        """How long `texts` are for the base model at `location`; no weights are loaded.

        Raises:
            InvalidValue: there is no such model.
            Unsupported: its tokenizer cannot be used here.
            Unavailable: it cannot be found out now.
        """

    def close(self) -> None:
        """Let go of every local process."""
