"""The base models that there are: the product's own, the operator's folders, and the cache's.

Nothing is loaded here: a base model is a name, a place, and what "auto" means for it.
"""

import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tunery.core.errors import InvalidValue, NotFound
from tunery.core.hyperparameters import IMAGE_DEFAULTS, TuningDefaults
from tunery.core.models import BaseModel, Modality

BUILT_IN = Path(__file__).parent
_DEFAULTS: Mapping[Modality, TuningDefaults] = {"text": TuningDefaults(), "image": IMAGE_DEFAULTS}
_BUILT_IN_SINCE = datetime(2026, 11, 21, tzinfo=UTC)


class FolderCatalog:
    """Base models found on this machine. What the operator names wins over what the cache has."""

    def __init__(
        self,
        *,
        folders: Mapping[str, Path],
        aliases: Mapping[str, str],
        cache: Path,
        quantized: Collection[str] = (),
    ) -> None:
        """Nothing is looked for yet.

        Args:
            folders: the operator's own, by name.
            aliases: other names, and what each means.
            cache: the hub folder of the Hugging Face cache; it need not exist.
            quantized: names of text models that are kept in four bits.

        Raises:
            InvalidValue: one of `folders` is none.
        """
        self._own = {**_built_in(), **{name: _in(name, path) for name, path in folders.items()}}
        self._aliases = dict(aliases)
        self._cache = cache
        self._quantized = frozenset(quantized)

    def models(self) -> Sequence[BaseModel]:
        """Every base model, by name."""
        found = {model.name: model for model in _cached(self._cache)} | self._own
        return [self._kept(found[name]) for name in sorted(found)]

    def resolve(self, name: str) -> BaseModel:
        """The base model that `name` means, an alias included.

        Raises:
            NotFound: no base model goes by this name; the message lists what there is.
        """
        target = self._aliases.get(name, name)
        if (own := self._own.get(target)) is not None:
            return self._kept(own)
        identity, _, revision = target.partition("@")
        for model in _cached(self._cache):
            if model.name == identity:
                model = self._kept(model)
                return replace(model, name=target, location=target) if revision else model
        raise self._unknown(name, target)

    def weights_bytes(self, name: str) -> int:
        """How large the files with its weights are; those of its largest snapshot in the cache.

        Raises:
            NotFound: as `resolve`.
        """
        location = self.resolve(name).location
        if (folder := Path(location)).is_dir():
            return _weights_bytes(folder)
        identity, _, _ = location.partition("@")
        of_model = self._cache / f"models--{identity.replace('/', '--')}"
        return max(map(_weights_bytes, of_model.glob("snapshots/*")), default=0)

    def _kept(self, model: BaseModel) -> BaseModel:
        """`model`, in four bits where that is asked for."""
        if model.name not in self._quantized or model.modality != "text":
            return model
        return replace(model, quantization="nf4")

    def _unknown(self, name: str, target: str) -> NotFound:
        known = ", ".join([model.name for model in self.models()] + sorted(self._aliases))
        meant = f" (an alias of {target!r})" if target != name else ""
        message = f"There is no base model {name!r}{meant}. Base models here: {known}."
        if "/" in target and not target.startswith("ft:"):
            message += f" To get it from Hugging Face: `hf download {target.partition('@')[0]}`."
        return NotFound("model", name, param="model", message=message)


def hugging_face_cache() -> Path:
    """The hub folder of the ordinary cache (huggingface_hub, "Environment variables")."""
    if (hub := os.environ.get("HF_HUB_CACHE")) is not None:
        return Path(hub).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("HF_HOME", f"{cache}/huggingface")).expanduser() / "hub"


def _built_in() -> dict[str, BaseModel]:
    """The entries of `catalog.toml`, each with a folder of its name beside it."""
    entries = tomllib.loads((BUILT_IN / "catalog.toml").read_text("utf-8"))
    return {
        name: BaseModel(
            name=name,
            location=str(BUILT_IN / name),
            owned_by="tunery",
            created_at=_BUILT_IN_SINCE,
            modality=entry.get("modality", "text"),
            defaults=msgspec.convert(entry, TuningDefaults),
        )
        for name, entry in entries.items()
    }


def _in(name: str, folder: Path) -> BaseModel:
    place = folder.expanduser()
    if not place.is_dir():
        raise InvalidValue(
            f"The setting models names {place} for {name!r}; there is no such folder.",
            param="models",
        )
    made = datetime.fromtimestamp(place.stat().st_mtime, UTC)
    modality = _modality(place)
    return BaseModel(
        name=name,
        location=str(place),
        owned_by="operator",
        created_at=made,
        modality=modality,
        defaults=_DEFAULTS[modality],
    )


def _modality(folder: Path) -> Modality:
    """What the model in `folder` makes; diffusers names the parts of a pipeline in this file."""
    return "image" if (folder / "model_index.json").is_file() else "text"


def _weights_bytes(folder: Path) -> int:
    """An image model has them in folders below."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors") if file.is_file())


def _cached(cache: Path) -> list[BaseModel]:
    """The models of the cache that have at least one snapshot with a configuration."""
    found = []
    for folder in cache.glob("models--*--*"):
        snapshots = [
            snapshot
            for snapshot in folder.glob("snapshots/*")
            if any((snapshot / name).is_file() for name in ("config.json", "model_index.json"))
        ]
        if not snapshots:
            continue
        modality = _modality(snapshots[0])
        _, owner, name = folder.name.split("--", 2)
        identity = f"{owner}/{name}"
        made = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        found.append(
            BaseModel(
                name=identity,
                location=identity,
                owned_by=owner,
                created_at=made,
                modality=modality,
                defaults=_DEFAULTS[modality],
            )
        )
    return found
