"""Every knob, read once.

`TUNERY_*` variables come first, then `tunery.toml` in the home folder, then the defaults here.
"""

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tunery.core.hyperparameters import Precision

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def default_home() -> Path:
    """The platform's folder for user data."""
    return Path(platformdirs.user_data_dir("tunery", appauthor=False))


class Account(BaseModel):
    """A service that carries jobs out, under a name of the operator's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """What is behind it: `local`, another name for this machine."""


def _listed(value: object) -> object:
    """A list out of text with commas, which is how a variable gives it."""
    if not isinstance(value, str):
        return value
    return [item.strip() for item in value.split(",") if item.strip()]


def _unset_if_empty(value: object) -> object:
    """No folder out of an empty variable, which would mean the one that we were started in."""
    return None if value == "" else value


class Settings(BaseSettings):
    """What an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="TUNERY_",
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        # One of them is a key, and errors end up in logs.
        hide_input_in_errors=True,
    )

    home: Path = Field(default_factory=default_home)
    """The folder for database, files, checkpoints, adapters, `credentials` and `tunery.toml`."""

    host: str = "127.0.0.1"
    """The address to listen on. A first start on any other than loopback needs `bootstrap_key`."""

    port: int = Field(default=8642, ge=0, le=65535)
    """The port to listen on."""

    database_url: str | None = None
    """`postgresql://…`; unset: SQLite in the home folder."""

    bootstrap_key: str | None = Field(default=None, min_length=32, repr=False)
    """The first key of an empty installation; unset: one is made and printed once."""

    aliases: dict[str, str] = Field(default_factory=dict)
    """Other names for base models, such as `"gpt-4o-mini-2024-07-18" = "Qwen/Qwen3-4B"`."""

    models: dict[str, Path] = Field(default_factory=dict)
    """Base models in folders of yours: name and folder (Hugging Face layout, safetensors)."""

    quantize: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(default_factory=list)
    """Text models that are kept in four bits, for training (QLoRA) and answering, by commas."""

    precision: Precision | None = None
    """What text models are trained in, `fp32` or `bf16`; unset: bf16 where it is clearly faster."""

    accounts: dict[str, Account] = Field(default_factory=dict)
    """Names by which requests choose a service: `[accounts.openai-main]` with `kind = "local"`."""

    routes: dict[str, str] = Field(default_factory=dict)
    """Engine or account by pattern of model: `"gpt-*" = "openai-main"`; the first fit holds."""

    text_model: str = "tiny-chat"
    """The base model of jobs and questions that name none."""

    image_model: str = "tiny-image"
    """The base model of image finetunes."""

    caption_model: str | None = None
    """A model that describes pictures which come without a caption; unset: templates do."""

    public_url: str | None = None
    """What links to this server begin with; unset: as the request that they answer."""

    sqlite_folder: Annotated[Path | None, BeforeValidator(_unset_if_empty)] = None
    """The one folder from which database connections may open SQLite files; unset: none."""

    allow_hosts: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list
    )
    """Private hosts and networks (and folders of sockets) for databases and webhooks, by commas."""

    secret_key: str | None = Field(default=None, repr=False)
    """Seals what is secret in the database: base64 of 32 bytes; unset: made in the home folder."""

    max_file_bytes: int = Field(default=8 * 1024**3, gt=0)
    """The largest file that can be uploaded, in bytes."""

    max_images_bytes: int = Field(default=64 * 1024**2, gt=0)
    """The largest ZIP of pictures that a finetune can be made of, in bytes."""

    max_body_bytes: int = Field(default=8 * 1024**2, gt=0)
    """The largest JSON body of a request, in bytes."""

    concurrent_jobs: int = Field(default=8, ge=1)
    """How many jobs train at the same time; those on one base model share it and its memory."""

    lease_seconds: float = Field(default=15.0, gt=0)
    """How long a worker that is not heard of keeps its job, in seconds."""

    checkpoint_seconds: float = Field(default=300.0, gt=0)
    """A job saves a checkpoint at least so often, in seconds, beside the end of each epoch."""

    threads: int | None = Field(default=None, ge=1)
    """Processor threads of a trainer; unset: every core."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is written to the log: this and everything graver."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then `tunery.toml` of the home that these name."""
        named = init_settings().get("home") or env_settings().get("home") or default_home()
        toml = TomlConfigSettingsSource(settings_cls, toml_file=Path(named) / "tunery.toml")
        return init_settings, env_settings, toml

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK
