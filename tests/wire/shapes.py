"""A vendor's shapes, restated as JSON Schema beside the tests of its door."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator


def shapes_beside(test: str) -> dict[str, Any]:
    """The schema in the folder of the module `test`, which is its `__file__`."""
    schema: dict[str, Any] = json.loads(Path(test).with_name("schema.json").read_text())
    return schema


def checker(schema: Mapping[str, Any]) -> Callable[[str, object], None]:
    """What fails with every place where a value is not of a kind that `schema` defines."""

    def check(kind: str, value: object) -> None:
        validator = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]})
        faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
        assert faults == []

    return check
