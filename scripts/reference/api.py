"""Every route of the HTTP API."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.reference import NOTE, table

Schema = Mapping[str, Any]

_HEAD = """# API

{note}

Every call needs a key (`tnr-sk-…`), but `/livez`, `/readyz`, `/openapi.json`,
`/api/v1/heartbeat` and the signed links to images. Every answer has an `x-request-id`.

- `/v1`, and the same paths without it, for clients of OpenAI and TrueFoundry: the key in
  `Authorization: Bearer`, errors `{{"error": {{"message", "type", "param", "code"}}}}`. What the
  `x-tfy-*` headers choose is told in
  [Your TrueFoundry client, unchanged](../how-to/truefoundry.md).
- `/v4`, for clients of Scale EGP: the key in `x-api-key`, errors `{{"detail": …}}`, a text or a
  list of faults.
- `/api/v1`, for clients of Dataherald: the key in either place, errors `{{"detail": …}}`, or
  `{{"error_code", "message", "description", "detail"}}` with 400 for what a service refuses.
- The routes of "BFL" below, for clients of Black Forest Labs: the key in `x-key`, errors
  `{{"detail": …}}`, a text or a list of faults.

What the answers hold is what the clients of each door know; what is ours lies under `x_tunery`.
Fields mean what they mean at the vendor, and may be left out or null unless they are required.
"""

_FORMS = {
    ("POST", "/v1/files"): "`file`, `purpose`, `expires_after[anchor]`, `expires_after[seconds]`",
    ("POST", "/v1/uploads/{upload_id}/parts"): "`data`",
}
"""The forms of routes that read the bytes of a file as they come."""

OWN_FIELDS = {
    "dry_run": "make no job; answer what it would see and take",
    "engine": "the engine or account that carries the job out; `local` is this machine",
    "learning_rate": "the peak rate itself, in place of the base model's own",
    "lora_alpha": "the scale of the adapter (32)",
    "lora_dropout": "the share of the adapter's inputs that is left out in training (0)",
    "overlong": "what becomes of rows longer than the model takes (`error`)",
    "sample_prompts": "what the model is asked while it learns, at most five prompts of 4,000 "
    "characters; `[]` asks nothing (the first five rows of the validation file)",
    "r": "the rank of the adapter (16)",
    "target_modules": "the linear layers that are adapted (`all-linear`: all but the output head)",
    "warmup_ratio": "the share of all steps over which the rate rises to its peak (0.03)",
    "weight_decay": "times the rate: what a weight loses of itself in a step (0)",
}
"""What the fields of `x_tunery` mean, which no documentation but this one says."""


def page(schema: Schema) -> str:
    """The page about the routes in an OpenAPI `schema`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for method, path, operation in operations(schema):
        tag = operation.get("tags", ["server"])[0]
        groups[tag[0].upper() + tag[1:]] += _section(method, path, operation)
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
        lines += table(("parameter", "in", "type", "default"), rows)
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        lines += [f"Body ({kind}): {_type(body['schema'])}.", ""]
    if (form := _FORMS.get((method, path))) is not None:
        lines += [f"Body (multipart/form-data): {form}.", ""]
    return lines


def _bodies(schema: Schema) -> list[str]:
    lines = ["## Bodies", ""]
    for name, body in sorted(schema["components"]["schemas"].items()):
        if "ValidationError" in name:
            continue
        required = body.get("required", [])
        rows: list[tuple[str, ...]] = [
            (f"`{field}`" + (" (required)" if field in required else ""), *_facts(value))
            for field, value in body.get("properties", {}).items()
        ]
        lines += [f"### {name}", "", body.get("description", ""), ""]
        if name == "XTunery":
            rows = [(*row, OWN_FIELDS[row[0].strip("`")]) for row in rows]
            lines += table(("field", "type", "default", "meaning"), rows)
        else:
            lines += table(("field", "type", "default"), rows)
    return lines


def _facts(value: Schema) -> tuple[str, ...]:
    default = value.get("default")
    return _type(value), "" if default in (None, []) else f"`{default}`"


def _type(value: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_type(each) for each in value["anyOf"] if each.get("type") != "null")
    if "enum" in value:
        return " or ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    return str(value.get("type", "any"))
