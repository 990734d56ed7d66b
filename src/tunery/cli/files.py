"""`tunery files`: upload, see and fetch data."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from tunery.cli.client import Client, Json, segment
from tunery.cli.commands import JsonOption, LimitOption, examples, group
from tunery.cli.connection import connect
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.objects import FileObject, read, read_list
from tunery.cli.output import aside, moment, print_fields, print_object, print_table, size

app = group("Upload, see and fetch files.")

FileArgument = Annotated[str, typer.Argument(metavar="FILE_ID", help="A file's id, `file-…`.")]


@app.command(epilog=examples("tunery files upload support.jsonl"))
def upload(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="What to send."),
    ],
    purpose: Annotated[str, typer.Option(help="What it is for.")] = "fine-tune",
    as_json: JsonOption = False,
) -> None:
    """Upload a file; a training file is checked line by line as it arrives."""
    with connect() as client:
        uploaded = send(client, file, purpose=purpose)
    if as_json:
        return print_object(uploaded)
    return print_fields(_fields(read(uploaded, FileObject)))


@app.command("list", epilog=examples("tunery files list --purpose fine-tune"))
def show_all(
    purpose: Annotated[str | None, typer.Option(help="Only files of this purpose.")] = None,
    limit: LimitOption = 20,
    after: Annotated[
        str | None, typer.Option(help="The last file of the page before.", metavar="FILE_ID")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the files of your project, newest first."""
    asked = {"limit": limit, "after": after, "purpose": purpose}
    with connect() as client:
        page = client.get("/v1/files", {k: v for k, v in asked.items() if v is not None})
    if as_json:
        return print_object(page)
    files = read_list(page, FileObject)
    rows = [
        (file.id, file.filename, file.purpose, size(file.bytes), moment(file.created_at) or "")
        for file in files
    ]
    print_table(
        ("id", "name", "purpose", "size", "created"),
        rows,
        empty="No files yet. `tunery files upload FILE` sends one.",
    )
    if page["has_more"]:
        aside().print(f"More: tunery files list --after {files[-1].id}")
    return None


@app.command(epilog=examples("tunery files show file-5f0c2e9b7d41a86cf3e20b17"))
def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show what is known of a file."""
    with connect() as client:
        found = client.get(f"/v1/files/{segment(file)}")
    if as_json:
        return print_object(found)
    return print_fields(_fields(read(found, FileObject)))


@app.command(epilog=examples("tunery files delete file-5f0c2e9b7d41a86cf3e20b17"))
def delete(file: FileArgument, as_json: JsonOption = False) -> None:
    """Delete a file. A job that is using it keeps what it needs."""
    with connect() as client:
        deleted = client.delete(f"/v1/files/{segment(file)}")
    if as_json:
        return print_object(deleted)
    return print_fields([("deleted", file)])


@app.command(epilog=examples("tunery files download file-5f0c2e9b7d41a86cf3e20b17 -o metrics.csv"))
def download(
    file: FileArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; else standard output.")
    ] = None,
) -> None:
    """Fetch the bytes of a file."""
    with connect() as client, client.download(f"/v1/files/{segment(file)}/content") as answer:
        if output is None:
            stdout = typer.get_binary_stream("stdout")
            for piece in answer.iter_bytes():
                stdout.write(piece)
            return
        _write(_new_file(output), answer.iter_bytes())
    aside().print(f"{output}: {size(output.stat().st_size)}")


def send(client: Client, path: Path, *, purpose: str = "fine-tune") -> Json:
    """Upload the file at `path`, with a progress bar on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = aside()
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        bar.open(path, "rb", description=f"uploading {path.name}") as content,
    ):
        return client.upload(path.name, content, purpose=purpose)


def _new_file(path: Path) -> Path:
    if path.exists():
        raise Failure(
            f"{path} is there already.",
            next_step="Name another file with --output.",
            code=ExitCode.BAD_INPUT,
        )
    return path


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """All of `pieces` or no file: a broken connection leaves nothing that looks whole."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as target:
        for piece in pieces:
            target.write(piece)
    part.replace(path)


def _fields(file: FileObject) -> list[tuple[str, str | None]]:
    return [
        ("file", file.id),
        ("name", file.filename),
        ("purpose", file.purpose),
        ("size", size(file.bytes)),
        ("status", file.status),
        ("created", moment(file.created_at)),
        ("expires", moment(file.expires_at)),
    ]
