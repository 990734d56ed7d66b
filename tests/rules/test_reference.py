"""Every route, setting and command is documented, and the pages are what the code says."""

from scripts.make_reference import FOLDER, application, pages
from scripts.reference import api, commands
from typer.core import TyperOption
from typer.main import get_command

from tunery.cli.__main__ import app
from tunery.settings import Settings


def test_the_pages_are_up_to_date() -> None:
    for name, text in pages().items():
        kept = (FOLDER / name).read_text(encoding="utf-8")
        assert kept == text, f"{name} is old: run `python -m scripts.make_reference`"


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_every_command_says_what_it_does_and_shows_an_example() -> None:
    for name, command in commands.walk(get_command(app), "tunery"):
        assert command.help, name
        assert f"{name}" in (command.epilog or ""), name


def test_every_switch_says_what_it_means() -> None:
    for name, command in commands.walk(get_command(app), "tunery"):
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


def test_every_command_that_prints_objects_can_print_them_as_json() -> None:
    bytes_or_servers = {"tunery serve", "tunery demo", "tunery files download"}
    for name, command in commands.walk(get_command(app), "tunery"):
        options = [o for p in command.params if isinstance(p, TyperOption) for o in p.opts]
        assert ("--json" in options) != (name in bytes_or_servers), name


def test_every_route_says_what_it_does() -> None:
    with application() as served:
        for method, path, operation in api.operations(served.openapi()):
            assert operation.get("description"), f"{method} {path}"


def test_every_field_of_ours_says_what_it_means() -> None:
    with application() as served:
        schema = served.openapi()
    assert set(api.OWN_FIELDS) == set(schema["components"]["schemas"]["XTunery"]["properties"])
