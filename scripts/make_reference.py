"""Write `docs/reference/` from the code: settings, commands, and the HTTP API.

`python -m scripts.make_reference` writes the pages; a test fails when they are out of date.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from scripts.reference import api, commands, settings
from tunery.app import create_app
from tunery.cli.__main__ import app as command_line
from tunery.dialects import NOTICES
from tunery.settings import Settings
from tunery.wiring import build

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def pages() -> Mapping[str, str]:
    """Every page of the reference, by file name."""
    with application() as served:
        schema = served.openapi()
    return {
        "settings.md": settings.page(Settings),
        "commands.md": commands.page(command_line),
        "api.md": api.page(schema),
    }


@contextmanager
def application() -> Iterator[FastAPI]:
    """The application as it would be served, over an empty home."""
    with tempfile.TemporaryDirectory() as home:
        wired = build(Settings(home=Path(home), database_url=None), NOTICES)
        yield create_app(wired)
        wired.store.close()


def main() -> None:
    """Write the pages, and say which changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
