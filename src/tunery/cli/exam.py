"""The same questions to two models, and how many each got right."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tunery.cli.chat import CHAT_PATH, Sampling
from tunery.cli.client import Client, Json
from tunery.cli.output import aside

_LONGEST_ANSWER = 64
_AT_A_TIME = 8


@dataclass(frozen=True)
class Question:
    """A held-out row: what is asked, and the one answer that is right."""

    messages: list[Json]
    right: str

    @property
    def text(self) -> str:
        """The question itself, without the system message."""
        return str(self.messages[-1]["content"])

    def is_answered_by(self, text: str) -> bool:
        """Whether `text` is the right answer to the letter."""
        return text.strip() == self.right.strip()


def questions(lines: Iterable[str]) -> list[Question]:
    """The rows of a training file, the assistant's last message as the right answer."""
    rows = [json.loads(line)["messages"] for line in lines if line.strip()]
    return [Question(row[:-1], row[-1]["content"]) for row in rows]


def answers(client: Client, model: str, asked: Sequence[Question]) -> list[str]:
    """What `model` says to each of `asked` at temperature 0, in their order."""
    sampling = Sampling(model=model, temperature=0.0, max_tokens=_LONGEST_ANSWER)
    console = aside()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        ThreadPoolExecutor(_AT_A_TIME) as pool,
    ):
        task = bar.add_task(f"asking {model}", total=len(asked))
        waiting = [pool.submit(_answer, client, sampling, question) for question in asked]
        try:
            for _ in as_completed(waiting):
                bar.advance(task)
        finally:
            pool.shutdown(cancel_futures=True)
        return [answer.result() for answer in waiting]


def n_right(asked: Sequence[Question], said: Sequence[str]) -> int:
    """How many answers are exactly the right ones."""
    return sum(question.is_answered_by(text) for question, text in zip(asked, said, strict=True))


def _answer(client: Client, sampling: Sampling, question: Question) -> str:
    completion = client.post(CHAT_PATH, sampling.request(question.messages, stream=False))
    return str(completion["choices"][0]["message"]["content"])
