"""When the steps of a trainer of transformers are done."""

import time

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Watch(TrainerCallback):  # type: ignore[misc]
    """Notes when each optimizer step was done, and stops when it has been long enough.

    Attributes:
        ends: as `time.time()` has them.
    """

    def __init__(self, *, warm_up: int = 0, seconds: float | None = None) -> None:
        """Stop `seconds` after `warm_up` steps, or never."""
        self._warm_up, self._seconds = warm_up, seconds
        self.ends: list[float] = []

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Note the time."""
        self.ends.append(time.time())
        if self._seconds is not None and len(self.ends) > self._warm_up:
            since = self.ends[-1] - self.ends[self._warm_up - 1]
            control.should_training_stop = since >= self._seconds
