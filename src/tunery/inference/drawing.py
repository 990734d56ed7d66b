"""One image: the model's call, and what is made of the picture that it draws."""

from collections.abc import Callable

import torch
from diffusers import FluxPipeline
from PIL import Image

from tunery.core.image_generations import ImageSettings, Painted, PaintRequest
from tunery.inference.canvas import (
    Size,
    cropped,
    drawing_size,
    encoded,
    extended,
    extended_mask,
    opened,
    opened_mask,
)
from tunery.inference.easel import Easel, Easels
from tunery.modeling.flux import is_small, manner, native_side, pixel_multiple, token_limit

OnStep = Callable[[float], None]


def draw(easels: Easels, request: PaintRequest, on_step: OnStep) -> Painted:
    """The image that was asked for; the same request gives the same bytes.

    Args:
        easels: where the base model is taken from.
        request: an image of `source` has the size of it, whatever the settings say.
        on_step: is told after each step how far the image is, up to 1. What it raises is let
            through, and ends the work.

    Raises:
        InvalidValue: base model, adapter or mask cannot be used.
        Unsupported: the base model is no FLUX pipeline.
    """
    easel = easels.easel(request.location)
    easel.use(request.adapter, request.settings.strength)
    if request.source is None:
        picture = _painted(easel, request.settings, on_step)
    else:
        source = opened(request.source, "RGB")
        mask = opened_mask(request.mask, source.size)
        picture = _filled(easel, request.settings, source, mask, on_step)
    return Painted(image=encoded(picture, request.settings.format))


def _painted(easel: Easel, settings: ImageSettings, on_step: OnStep) -> Image.Image:
    """What the prompt says."""
    asked = (settings.width, settings.height)
    size = _drawing_size(easel, asked)
    drawn = easel.pipeline(**_arguments(easel, settings, size, on_step))
    # The paper around a small drawing may go on; a large one loses a few pixels at the most.
    return (extended if is_small(easel.pipeline) else cropped)(drawn.images[0], asked)


def _filled(
    easel: Easel,
    settings: ImageSettings,
    source: Image.Image,
    mask: Image.Image,
    on_step: OnStep,
) -> Image.Image:
    """`source` with what the prompt says where `mask` is white; the rest to the pixel as it was."""
    size = _drawing_size(easel, source.size)
    drawn = easel.filling(
        image=extended(source, size),
        mask_image=extended_mask(mask, size, cell=easel.pipeline.vae_scale_factor),
        strength=1.0,
        **_arguments(easel, settings, size, on_step),
    )
    return Image.composite(cropped(drawn.images[0], source.size), source, mask)


def _drawing_size(easel: Easel, asked: Size) -> Size:
    """What the model draws where a picture of the size `asked` is wanted."""
    if is_small(easel.pipeline):
        return native_side(easel.pipeline), native_side(easel.pipeline)
    return drawing_size(asked, multiple=pixel_multiple(easel.pipeline))


def _arguments(
    easel: Easel, settings: ImageSettings, size: Size, on_step: OnStep
) -> dict[str, object]:
    """What both pipelines are called with."""

    def after_step(
        pipeline: FluxPipeline, step: int, timestep: object, tensors: object
    ) -> dict[str, object]:
        on_step((step + 1) / pipeline.num_timesteps)
        return {}

    return {
        "prompt": settings.prompt,
        "width": size[0],
        "height": size[1],
        "max_sequence_length": token_limit(easel.pipeline),
        # On the CPU whatever the device: the same noise everywhere. It takes 64 bits.
        "generator": torch.Generator().manual_seed(settings.seed % 2**64),
        "callback_on_step_end": after_step,
        "callback_on_step_end_tensor_inputs": [],
        **manner(easel.pipeline, steps=settings.steps, guidance=settings.guidance),
    }
