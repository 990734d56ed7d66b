"""What `tunery demo --images` does: an image model learns a shape that it has never seen."""

import base64
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tunery.cli.client import Client, Json
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.grid import grid
from tunery.cli.local_server import LocalServer
from tunery.cli.output import aside, duration, screen

TRIGGER = "TOK"
PAIRS = (
    ("red", "white"),
    ("green", "yellow"),
    ("blue", "pink"),
    ("yellow", "black"),
    ("purple", "gray"),
)
"""Ink and paper of the pictures that are asked for; none is among those that are taught."""

_ITERATIONS = 300
_SIDE = 256
_SEED = 11
_LOOK_EVERY_S = 0.5
_LINE_EVERY = 50
"""Steps between two lines, where there is no terminal to draw a bar on."""


def run(server: LocalServer) -> None:
    """Train on the bundled pictures, draw with base and tuned model, and show both."""
    client, began = server.client, time.monotonic()
    archive = (files("tunery.cli") / "demo_data" / "rings.zip").read_bytes()
    screen().print(f"[green]✓[/] data    12 pictures of a ring, called {TRIGGER}")
    finetune_id = _create(client, archive)
    _follow(client, finetune_id, server.log)
    took = duration(time.monotonic() - began)
    screen().print(f"[green]✓[/] trained {finetune_id} in {took}")
    prompts = [f"a {ink} {TRIGGER} on a {paper} background" for ink, paper in PAIRS]
    rows = {"base": 0.0, "tuned": 1.0}
    drawn = [list(_drawn(client, finetune_id, prompts, strength)) for strength in rows.values()]
    path = Path.cwd() / "tunery-demo.png"
    path.write_bytes(grid(drawn, above=prompts, beside=list(rows)))
    screen().print(f"[green]✓[/] drawn   {escape(str(path))}", soft_wrap=True)
    screen().print("\nThe same prompts and seeds, to the base model and to the tuned one. The")
    screen().print("base has never seen a ring; the pairs of colours are none that it was taught.")
    _print_use(client, finetune_id, prompts[0])


def _create(client: Client, archive: bytes) -> str:
    body = {
        "file_data": base64.b64encode(archive).decode(),
        "finetune_comment": "rings",
        "mode": "general",
        "trigger_word": TRIGGER,
        "iterations": _ITERATIONS,
        "finetune_type": "lora",
        "lora_rank": 16,
    }
    return str(client.post("/v1/finetune", body)["finetune_id"])


def _follow(client: Client, finetune_id: str, log: Path) -> None:
    """Show how far the finetune is, until it is ready.

    Raises:
        Failure: it has come to nothing.
    """
    show = _bar if aside().is_terminal else _lines
    last = show(_states(client, finetune_id))
    if last["status"] != "Ready":
        raise Failure(
            f"The finetune ended with {last['status']}: {(last['details'] or {}).get('message')}",
            next_step=f"What happened stands in {log}.",
            code=ExitCode.JOB_FAILED,
        )


def _states(client: Client, task_id: str) -> Iterator[Json]:
    """How the task stands, now and again, and how it ended at last."""
    while True:
        state = client.get("/v1/get_result", {"id": task_id})
        yield state
        if state["status"] != "Pending":
            return
        time.sleep(_LOOK_EVERY_S)


def _bar(states: Iterator[Json]) -> Json:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=aside(), transient=True) as progress:
        task = progress.add_task("training", total=_ITERATIONS)
        for state in states:
            progress.update(task, completed=_step(state))
    return state


def _lines(states: Iterator[Json]) -> Json:
    said = 0
    for state in states:
        if (step := _step(state)) >= said + _LINE_EVERY:
            said = step - step % _LINE_EVERY
            aside().print(f"step {step} of {_ITERATIONS}")
    return state


def _step(state: Json) -> int:
    return round((state["progress"] or 0) * _ITERATIONS)


def _drawn(
    client: Client, finetune_id: str, prompts: Sequence[str], strength: float
) -> Iterator[bytes]:
    """A picture for each prompt, in turn."""
    asked = [
        client.post("/v1/flux-pro-finetuned", _request(finetune_id, prompt, strength))
        for prompt in prompts
    ]
    for task in asked:
        *_, last = _states(client, task["id"])
        if last["status"] != "Ready":
            raise Failure(
                f"A picture was not drawn: {(last['details'] or {}).get('message')}",
                next_step="What happened stands in the server's log.",
                code=ExitCode.JOB_FAILED,
            )
        link = urlsplit(last["result"]["sample"])
        with client.download(f"{link.path}?{link.query}") as response:
            yield response.read()


def _request(finetune_id: str, prompt: str, strength: float) -> Json:
    return {
        "finetune_id": finetune_id,
        "finetune_strength": strength,
        "prompt": prompt,
        "seed": _SEED,
        "steps": 16,
        "guidance": 3,
        "width": _SIDE,
        "height": _SIDE,
        "output_format": "png",
    }


def _print_use(client: Client, finetune_id: str, prompt: str) -> None:
    screen().print("\n[bold]Draw with it from Python[/] (pip install httpx):\n")
    typer.echo(example(client.url, str(client.key), finetune_id, prompt))
    screen().print("\n[bold]Or ask how it is from a shell[/]:\n")
    typer.echo(
        f'curl -H "x-key: {client.key}" '
        f'"{client.url}/v1/finetune_details?finetune_id={finetune_id}"\n'
    )


def example(url: str, key: str, finetune_id: str, prompt: str) -> str:
    """Lines of Python that ask for one picture, wait for it and keep it."""
    return "\n".join(
        [
            "import time, httpx",
            f'client = httpx.Client(base_url="{url}/v1", headers={{"x-key": "{key}"}})',
            f'asked = {{"finetune_id": "{finetune_id}",',
            f'         "prompt": "{prompt}"}}',
            'task = client.post("/flux-pro-finetuned", json=asked).json()',
            'while task.get("status") in (None, "Pending"):',
            "    time.sleep(0.5)",
            '    task = client.get("/get_result", params={"id": task["id"]}).json()',
            'open("drawn.jpg", "wb").write(client.get(task["result"]["sample"]).content)',
        ]
    )
