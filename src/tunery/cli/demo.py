"""`tunery demo`: a model that learns, from nothing to unchanged client code, on this machine."""

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tunery import __version__
from tunery.cli import picture_demo
from tunery.cli.client import Client
from tunery.cli.connection import read_settings
from tunery.cli.exam import Question, answers, n_right, questions
from tunery.cli.files import send
from tunery.cli.local_server import LocalServer, local_server
from tunery.cli.objects import Job, read
from tunery.cli.output import duration, screen
from tunery.cli.serve import HomeOption, PortOption
from tunery.cli.train import start
from tunery.cli.watch import require_success, show
from tunery.settings import Settings

BASE = "tiny-chat"
_SHOWN = 5
_LONGEST_SHOWN = 120
_SEED = 7


ImagesOption = Annotated[
    bool, typer.Option("--images", help="Teach an image model a shape, in place of a chat model.")
]


def demo(port: PortOption = None, home: HomeOption = None, images: ImagesOption = False) -> None:
    """Start a server, train a small model for real, and show what it learnt.

    Needs no network, no account and no GPU. The server stays up until Ctrl-C.
    """
    settings = read_settings(host="127.0.0.1", port=port, home=home)
    # A closed terminal and a plain `kill` end the demo as Ctrl-C does, its server included.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    screen().print(
        f"[bold]tunery {__version__}[/]   data {escape(str(settings.home))}   "
        f"{os.cpu_count()} cores",
        soft_wrap=True,
    )
    with local_server(settings) as server, suppress(KeyboardInterrupt):
        screen().print(f"[green]✓[/] server  {server.client.url}")
        if images:
            picture_demo.run(server)
        else:
            _run(server)
        if server.process is not None:
            screen().print("The server stays up; Ctrl-C stops it.")
        server.wait()
    if server.process is None:
        return screen().print("The server that was running before goes on.")
    screen().print(f"\nStopped; everything is kept in {escape(str(settings.home))}.")
    screen().print("What was running goes on at the next start.")
    return screen().print(f"Start the server again: {_serve_command(settings, port, home)}")


def _run(server: LocalServer) -> None:
    client = server.client
    model = _train(server)
    held_out = questions(_lines("held_out.jsonl"))
    base_said = answers(client, BASE, held_out)
    tuned_said = answers(client, model, held_out)
    _print_answers(held_out, base_said, tuned_said)
    _print_scores(held_out, base_said, tuned_said)
    _print_use(client, model, held_out[0])


def _train(server: LocalServer) -> str:
    """Train on the bundled questions, and give back the name of the tuned model."""
    client = server.client
    with as_file(files("tunery.cli") / "demo_data") as folder:
        training = send(client, folder / "train.jsonl")
        validation = send(client, folder / "validation.jsonl")
    screen().print(f"[green]✓[/] data    {len(_lines('train.jsonl'))} questions with their SQL")
    job = start(
        client,
        {
            "model": BASE,
            "training_file": training["id"],
            "validation_file": validation["id"],
            "suffix": "sql",
            "seed": _SEED,
            "method": {"type": "supervised"},
        },
    )
    ended = read(show(client, job["id"]), Job)
    require_success(ended, next_step=f"What happened stands in {server.log}.")
    took = (ended.finished_at or ended.created_at) - ended.created_at
    screen().print(f"[green]✓[/] trained {ended.fine_tuned_model} in {duration(took)}")
    return str(ended.fine_tuned_model)


def _print_answers(asked: Sequence[Question], base: Sequence[str], tuned: Sequence[str]) -> None:
    table = Table("question", BASE, "tuned", box=None, pad_edge=False, leading=1)
    for row in list(zip(asked, base, tuned, strict=True))[:_SHOWN]:
        question, *said = row
        table.add_row(escape(question.text), *(_marked(question, answer) for answer in said))
    screen().print("\nThe same held-out questions to both models:\n")
    screen().print(table)


def _marked(question: Question, answer: str) -> str:
    """An answer on one line, and whether it is the right one."""
    mark = "[green]✓[/]" if question.is_answered_by(answer) else "[red]✗[/]"
    return f"{mark} {escape(shorten(answer, _LONGEST_SHOWN, placeholder=' …'))}"


def _print_scores(asked: Sequence[Question], base: Sequence[str], tuned: Sequence[str]) -> None:
    screen().print(f"\nExact matches on all {len(asked)} held-out questions:")
    for name, said in ((BASE, base), ("tuned", tuned)):
        right = n_right(asked, said)
        screen().print(f"  {name:<10} {right:>4}   {right / len(asked):.0%}")


def _print_use(client: Client, model: str, question: Question) -> None:
    screen().print("\n[bold]Use it from Python[/] (pip install openai):\n")
    typer.echo(example(client.url, str(client.key), model, question))
    screen().print("\n[bold]Or point code that you have at it[/]:\n")
    typer.echo(f"export OPENAI_BASE_URL={client.url}/v1")
    typer.echo(f"export OPENAI_API_KEY={client.key}\n")


def example(url: str, key: str, model: str, question: Question) -> str:
    """Eight lines of Python that ask `model` with the stock `openai` package."""
    messages = [f"        {json.dumps(message)}," for message in question.messages]
    return "\n".join(
        [
            "from openai import OpenAI",
            f'client = OpenAI(base_url="{url}/v1", api_key="{key}")',
            "answer = client.chat.completions.create(",
            f'    model="{model}", temperature=0, messages=[',
            *messages,
            "    ])",
            "print(answer.choices[0].message.content)",
        ]
    )


def _lines(name: str) -> list[str]:
    text = (files("tunery.cli") / "demo_data" / name).read_text(encoding="utf-8")
    return text.strip().split("\n")


def _serve_command(settings: Settings, port: int | None, home: Path | None) -> str:
    """The command that serves the same home on the same port."""
    words = ["tunery serve"]
    words += [f"--port {settings.port}"] if port is not None else []
    words += [f"--home {settings.home}"] if home is not None else []
    return escape(" ".join(words))
