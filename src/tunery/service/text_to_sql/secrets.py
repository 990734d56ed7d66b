"""Secrets on their way in: never shown, and sealed before anything is kept."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

_PASSWORD = re.compile(r"://[^:@/?#]*:(.+)@")
_HIDDEN = "***"
_SHORTEST = 4
"""What is shorter than this may be part of any word, and is hidden only where it stands."""


@dataclass(frozen=True)
class Secret:
    """A text that nobody may read, in clear or as it was given back sealed."""

    text: str = field(repr=False)


def replaced(value: object, by: Callable[[Secret], str]) -> object:
    """`value` with each secret in it, however deep, replaced by a text."""
    match value:
        case Secret():
            return by(value)
        case Mapping():
            return {name: replaced(each, by) for name, each in value.items()}
        case list() | tuple():
            return [replaced(each, by) for each in value]
        case _:
            return value


def without_secrets(message: str, uri: str) -> str:
    """`message` without the URI that it is about, and without the password in it."""
    hidden = message.replace(uri, _HIDDEN) if len(uri) >= _SHORTEST else message
    if (found := _PASSWORD.search(uri)) is None:
        return hidden
    password = found[1]
    hidden = hidden.replace(f":{password}@", f":{_HIDDEN}@")
    for form in (password, unquote(password)):
        if len(form) >= _SHORTEST:
            hidden = hidden.replace(form, _HIDDEN)
    return hidden
