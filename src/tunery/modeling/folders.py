"""Where a base model's files are. Nothing here needs torch."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from tunery.core.errors import InvalidValue, Unsupported


def resolve_base(model: str) -> Path:
    """The folder of `model`, which is one on this machine or in the Hugging Face cache.

    Args:
        model: a folder, or a Hugging Face id `org/name[@revision]`, which is looked up in the
            ordinary cache and never fetched.

    Raises:
        InvalidValue: there is no such model.
        Unsupported: its weights are not safetensors.
    """
    folder = model_folder(model)
    if not (folder / "config.json").is_file():
        raise InvalidValue(f"the base model {model!r} has no config.json", param="model")
    require_safetensors(folder, f"the base model {model!r}")
    return folder


def require_safetensors(folder: Path, name: str) -> None:
    """Raise Unsupported where `folder`, called `name`, holds no weights that are safetensors."""
    if any(folder.glob("*.safetensors")):
        return
    pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
    why = "only pickled ones, which can run any code" if pickled else "none"
    raise Unsupported(
        f"{name} must have its weights as safetensors; it has {why}",
        param="model",
    )


def model_folder(model: str) -> Path:
    """The folder of `model`, whatever is in it; InvalidValue where there is none."""
    if model and Path(model).is_dir():
        return Path(model)
    name, _, revision = model.partition("@")
    if name.count("/") != 1 or name.startswith(("/", ".")):
        raise InvalidValue(
            f"the base model {model!r} is neither a folder nor a Hugging Face id such as "
            "Qwen/Qwen3-4B",
            param="model",
        )
    try:
        return Path(snapshot_download(name, revision=revision or None, local_files_only=True))
    except LocalEntryNotFoundError as absent:
        command = f"hf download {name}" + (f" --revision {revision}" if revision else "")
        raise InvalidValue(
            f"the base model {model!r} is not in the Hugging Face cache of this machine; "
            f"`{command}` fetches it",
            param="model",
        ) from absent
