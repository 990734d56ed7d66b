"""What a model says while it learns, in a line for each prompt."""

from collections.abc import Iterator

from tunery.cli.objects import Event

_PROMPT_CHARACTERS = 40
_ANSWER_CHARACTERS = 80
_AS_BEFORE = "(as before)"


class Answers:
    """Remembers what was said to each prompt, so that a changed answer stands out."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._before: dict[str, str] = {}

    def lines(self, event: Event) -> Iterator[str]:
        """The lines to stand below the event; none where it tells of no answers."""
        for sample in event.samples:
            answer = _short(sample.answer, _ANSWER_CHARACTERS) or "(nothing)"
            if self._before.get(sample.prompt) == sample.answer:
                answer = _AS_BEFORE
            self._before[sample.prompt] = sample.answer
            yield f"    {_short(sample.prompt, _PROMPT_CHARACTERS)} → {answer}"


def _short(text: str, most: int) -> str:
    """The beginning of `text`, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
