"""Every setting."""

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from scripts.reference import NOTE, table

_COMPUTED = {
    "home": "the platform's folder for user data",
    **dict.fromkeys(("accounts", "aliases", "allow_hosts", "models", "quantize", "routes"), "none"),
}

_HEAD = """# Settings

{note}

A variable (`TUNERY_PORT=9000`) comes before a line in `tunery.toml` in the home folder
(`port = 9000`), and that before the default. Switches of `tunery serve` come before both. A table
(`accounts`, `aliases`, `models`, `routes`) is written as JSON in a variable:
`TUNERY_ALIASES='{{"gpt-4o-mini": "Qwen/Qwen3-4B"}}'`.
"""


def page(kind: type[BaseSettings]) -> str:
    """The page about the settings in `kind`."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    rows = [
        (f"`{name}`", f"`{(prefix + name).upper()}`", default(name, field), field.description or "")
        for name, field in kind.model_fields.items()
    ]
    head = ("in tunery.toml", "variable", "default", "meaning")
    return "\n".join([_HEAD.format(note=NOTE), *table(head, rows)])


def default(name: str, field: FieldInfo) -> str:
    """What holds where nothing is said."""
    if name in _COMPUTED:
        return _COMPUTED[name]
    return "unset" if field.default is None else f"`{field.default}`"
