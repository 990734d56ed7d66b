"""`tunery keys`: who may call this server."""

import time
from typing import Annotated

import typer

from tunery.cli.client import Json, segment
from tunery.cli.commands import JsonOption, examples, group
from tunery.cli.connection import connect
from tunery.cli.objects import Key, read, read_list
from tunery.cli.output import aside, moment, print_fields, print_object, print_table

app = group("Make, see and revoke keys.")

_PATH = "/tunery/v1/keys"
_DAY_S = 24 * 60 * 60


@app.command(
    epilog=examples(
        'tunery keys create "nightly pipeline"',
        "tunery keys create guest --days 30",
        "tunery keys create build --service-account pipeline",
    )
)
def create(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="What the key is for; you will know it by this."),
    ],
    days: Annotated[int | None, typer.Option(min=1, help="How long it is to work.")] = None,
    service_account: Annotated[
        str | None,
        typer.Option(metavar="ACCOUNT", help="Whom it is to speak for, by a name; else for you."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for your project. It is shown once, and kept as a digest only."""
    wanted: Json = {"name": name}
    if days is not None:
        wanted["expires_at"] = int(time.time()) + days * _DAY_S
    if service_account is not None:
        wanted["service_account"] = service_account
    with connect() as client:
        made = client.post(_PATH, wanted)
    if as_json:
        return print_object(made)
    key = read(made, Key)
    print_fields(
        [
            ("id", key.id),
            ("name", key.name),
            ("key", key.key),
            ("speaks for", key.speaks_for),
            ("expires", moment(key.expires_at)),
        ]
    )
    return aside().print("Copy the key now: it is not shown again.")


@app.command("list", epilog=examples("tunery keys list"))
def show_all(as_json: JsonOption = False) -> None:
    """List the keys of your project."""
    with connect() as client:
        page = client.get(_PATH)
    if as_json:
        return print_object(page)
    rows = [
        (key.id, key.name, key.speaks_for, f"…{key.hint}", key.state)
        for key in read_list(page, Key)
    ]
    head = ("id", "name", "speaks for", "ends in", "state")
    return print_table(head, rows, empty="There are no keys.")


@app.command(epilog=examples("tunery keys revoke key_5f0c2e9b7d41a86cf3e20b17"))
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY_ID", help="A key's id, `key_…`.")],
    as_json: JsonOption = False,
) -> None:
    """End a key at once, for good."""
    with connect() as client:
        revoked = client.delete(f"{_PATH}/{segment(key)}")
    if as_json:
        return print_object(revoked)
    return print_fields([("revoked", key)])
