"""Every route of the HTTP API."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.reference import NOTE, table

Schema = Mapping[str, Any]

_HEAD = """# API

{note}

Every call needs a key, `Authorization: Bearer tnr-sk-…`, but `/livez`, `/readyz` and
`/openapi.json`. The routes under `/v1` answer without `/v1` too. Errors look like OpenAI's,
`{{"error": {{"message", "type", "param", "code"}}}}`, and every answer has an `x-request-id`.
What the answers hold is what OpenAI's clients know; what is ours lies under `x_tunery`.
"""


def page(schema: Schema) -> str:
    """The page about the routes in an OpenAPI `schema`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for method, path, operation in operations(schema):
        groups[operation.get("tags", ["Server"])[0]] += _section(method, path, operation)
    lines = [_HEAD.format(note=NOTE)]
    for name, sections in groups.items():
        lines += [f"## {name}", "", *sections]
    return "\n".join([*lines, *_bodies(schema)])


def operations(schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Method, path and description of every route, those that only leave out `/v1` but once."""
    paths = schema["paths"]
    for path, methods in paths.items():
        if f"/v1{path}" in paths:
            continue
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _section(method: str, path: str, operation: Schema) -> list[str]:
    lines = [f"### {method} {path}", "", operation.get("description", ""), ""]
    parameters = [p for p in operation.get("parameters", []) if p["in"] != "path"]
    if parameters:
        rows = [(f"`{p['name']}`", p["in"], *_facts(p["schema"])) for p in parameters]
        lines += table(("parameter", "in", "type", "default", "meaning"), rows)
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        lines += [f"Body ({kind}): {_type(body['schema'])}.", ""]
    return lines


def _bodies(schema: Schema) -> list[str]:
    lines = ["## Bodies", ""]
    for name, body in sorted(schema["components"]["schemas"].items()):
        if "ValidationError" in name:
            continue
        required = body.get("required", [])
        rows = [
            (f"`{field}`" + (" (required)" if field in required else ""), *_facts(value))
            for field, value in body.get("properties", {}).items()
        ]
        lines += [f"### {name}", "", body.get("description", ""), ""]
        lines += table(("field", "type", "default", "meaning"), rows)
    return lines


def _facts(value: Schema) -> tuple[str, str, str]:
    default = value.get("default")
    return _type(value), "" if default is None else f"`{default}`", value.get("description", "")


def _type(value: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_type(each) for each in value["anyOf"])
    if "enum" in value:
        return " or ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    return str(value.get("type", "any"))
