"""FLUX pipelines from a folder or the Hugging Face cache: what training and drawing share.

Weights are read from safetensors alone, and no code that comes with a pipeline is ever run.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from diffusers import FluxPipeline
from diffusers.utils.logging import disable_progress_bar

from tunery.core.errors import InvalidValue, Unsupported
from tunery.modeling.folders import model_folder, require_safetensors
from tunery.modeling.load import default_device, default_dtype

MOST_TOKENS = 512
"""More than these no FLUX pipeline reads of a prompt (diffusers, `FluxPipeline.check_inputs`)."""

MOST_GUIDANCE = 5.0
"""More than this burns the colours of a model that draws from text.

It is BFL's limit for FLUX.1 [pro]. Their door for filling takes up to 100, which only a model that
was distilled for filling can bear.
"""

_SMALL = 256
_INDEX = "model_index.json"
_MODELS = ("transformer", "vae", "text_encoder", "text_encoder_2")


class _Index(msgspec.Struct):
    """What a pipeline says of itself."""

    kind: str = msgspec.field(name="_class_name")


def resolve_pipeline(model: str) -> Path:
    """The folder of the FLUX pipeline `model`, on this machine or in the Hugging Face cache.

    Args:
        model: a folder, or a Hugging Face id `org/name[@revision]`, which is looked up in the
            ordinary cache and never fetched.

    Raises:
        InvalidValue: there is no such model.
        Unsupported: it is no FLUX pipeline for drawing from text, or its weights are not
            safetensors.
    """
    folder = model_folder(model)
    if (kind := _kind(folder)) != FluxPipeline.__name__:
        raise Unsupported(
            f"the base model {model!r} is {kind or 'no pipeline of diffusers'}; for images it must "
            "be a FluxPipeline, such as black-forest-labs/FLUX.1-dev",
            param="model",
        )
    for part in _MODELS:
        require_safetensors(folder / part, f"the {part} of the base model {model!r}")
    return folder


def _kind(folder: Path) -> str | None:
    """The class of the pipeline in `folder`; None where there is none."""
    try:
        index = (folder / _INDEX).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(index, type=_Index).kind
    except msgspec.DecodeError as broken:
        raise InvalidValue(
            f"{_INDEX} of the base model in {folder.name} cannot be read: {broken}", param="model"
        ) from broken


def load_pipeline(
    model: str, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> FluxPipeline:
    """The pipeline `model`, as `resolve_pipeline` understands it, silent and ready on its device.

    Raises:
        InvalidValue: there is no such model.
        Unsupported: it is no FLUX pipeline, or cannot be read as one.
    """
    folder = resolve_pipeline(model)
    device = device or default_device()
    disable_progress_bar()
    try:
        pipeline = FluxPipeline.from_pretrained(
            folder,
            dtype=dtype or default_dtype(device),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as unreadable:
        raise Unsupported(
            f"the base model {model!r} cannot be read as a FLUX pipeline: {unreadable}",
            param="model",
        ) from unreadable
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def native_side(pipeline: FluxPipeline) -> int:
    """The side, in pixels, of the square pictures that the pipeline was made for."""
    return int(pipeline.vae.config.sample_size)


def is_small(pipeline: FluxPipeline) -> bool:
    """Whether it draws nothing of use at other sizes than the one that it was made for."""
    return native_side(pipeline) < _SMALL


def token_limit(pipeline: FluxPipeline) -> int:
    """How many tokens T5 reads of a prompt, to which shorter ones are padded.

    Padding is not masked (diffusers, `FluxPipeline.encode_prompt`), so another length is another
    model: training and drawing must both pass this one as `max_sequence_length`.
    """
    return min(int(pipeline.tokenizer_2.model_max_length), MOST_TOKENS)


def pixel_multiple(pipeline: FluxPipeline) -> int:
    """Width and height must be multiples of this: a patch is two latents wide and high."""
    return int(pipeline.vae_scale_factor) * 2


def manner(
    pipeline: FluxPipeline, *, steps: int | None = None, guidance: float | None = None
) -> dict[str, object]:
    """The steps and the guidance to call `pipeline` with; None is what suits it best.

    A pipeline that learnt to take guidance as an input is told it. One that did not, such as
    tiny-image, draws each step with and without the prompt and goes on from the difference
    (classifier-free guidance). FLUX.1 [schnell] takes neither: it was distilled to few steps.
    """
    if pipeline.transformer.config.guidance_embeds:
        return {"num_inference_steps": steps or 28, "guidance_scale": _bounded(guidance, 3.5)}
    if not is_small(pipeline) and not pipeline.scheduler.config.use_dynamic_shifting:
        return {"num_inference_steps": steps or 4}
    return {
        "num_inference_steps": steps or 16,
        "true_cfg_scale": _bounded(guidance, 3.0),
        "negative_prompt": "",
    }


def _bounded(guidance: float | None, default: float) -> float:
    return default if guidance is None else min(guidance, MOST_GUIDANCE)
