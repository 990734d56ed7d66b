"""What a model says while it learns, in a line for each prompt."""

from collections.abc import Iterator

from tunery.cli.objects import Event

_PROMPT_CHARACTERS = 40
_ANSWER_CHARACTERS = 80
_AS_BEFORE = "(as before)"
_ALL_AS_BEFORE = "every answer as before"


class Answers:
    """Remembers what was said to each prompt, so that a changed answer stands out."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._before: dict[str, str] = {}

    def lines(self, event: Event) -> Iterator[str]:
        """The lines to stand below the event: one where all answers are those before.

        There are none where it tells of no answers.
        """
        given = {sample.prompt: sample.answer for sample in event.samples}
        same = {prompt for prompt in given if self._before.get(prompt) == given[prompt]}
        self._before |= given
        if given and len(same) == len(given):
            yield f"    {_ALL_AS_BEFORE}"
            return
        for prompt, said in given.items():
            answer = _AS_BEFORE if prompt in same else _short(said, _ANSWER_CHARACTERS)
            yield f"    {_short(prompt, _PROMPT_CHARACTERS)} → {answer or '(nothing)'}"


def _short(text: str, most: int) -> str:
    """The beginning of `text`, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
