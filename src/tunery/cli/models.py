"""`tunery models`: see, ask and delete models."""

import sys
from typing import Annotated

import typer

from tunery.cli.chat import Conversation, Sampling, ask, converse
from tunery.cli.client import segment
from tunery.cli.commands import JsonOption, examples, group
from tunery.cli.connection import connect
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.objects import Model, read_list
from tunery.cli.output import moment, print_fields, print_object, print_table

app = group("See, ask and delete models.")

ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A base model, a tuned model `ft:…`, or a checkpoint."),
]


@app.command("list", epilog=examples("tunery models list --json"))
def show_all(as_json: JsonOption = False) -> None:
    """List the base models and your tuned models."""
    with connect() as client:
        page = client.get("/v1/models")
    if as_json:
        return print_object(page)
    rows = [
        (model.id, model.owned_by, moment(model.created) or "") for model in read_list(page, Model)
    ]
    return print_table(("model", "owned by", "created"), rows, empty="This server has no models.")


@app.command(
    epilog=examples(
        'tunery models chat tiny-chat "Say hello."',
        "tunery models chat 'ft:tiny-chat:org-default:sql:1a2b3c4d'",
    )
)
def chat(
    model: ModelArgument,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="One question; left out, you talk at the terminal."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="The system message.")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 is the likeliest.")] = 0.0,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The longest answer, in tokens.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model, and see the answer as it is written."""
    sampling = Sampling(model=model, temperature=temperature, max_tokens=max_tokens, seed=seed)
    conversation = Conversation(system)
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
    with connect() as client:
        if prompt:
            return ask(client, sampling, conversation, prompt, as_json=as_json)
        if as_json or not sys.stdin.isatty():
            raise Failure(
                "There is nothing to ask.",
                next_step='Put the question behind the model: tunery models chat MODEL "…"',
                code=ExitCode.BAD_INPUT,
            )
        return converse(client, sampling, conversation)


@app.command(epilog=examples("tunery models delete 'ft:tiny-chat:org-default:sql:1a2b3c4d'"))
def delete(model: ModelArgument, as_json: JsonOption = False) -> None:
    """Delete a tuned model and its checkpoints. A base model cannot be deleted."""
    with connect() as client:
        deleted = client.delete(f"/v1/models/{segment(model)}")
    if as_json:
        return print_object(deleted)
    return print_fields([("deleted", model)])
