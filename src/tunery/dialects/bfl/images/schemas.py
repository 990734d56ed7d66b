"""Images on the wire. Limits and defaults are BFL's (API reference, "Generate an image …")."""

import math
import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from tunery.dialects.bfl.fields import FinetuneId, LongText, Told

MOST_STEPS = 50
_RATIO = re.compile(r"(?P<width>[1-9][0-9]{0,3}):(?P<height>[1-9][0-9]{0,3})", re.ASCII)
_WIDEST = 21 / 9


class OutputFormat(StrEnum):
    """How the image is encoded."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"


def _no_upsampling(value: bool) -> bool:
    if value:
        raise ValueError(
            "there is no model here that would write a longer prompt; leave prompt_upsampling out"
        )
    return value


def _no_image_prompt(value: str | None) -> str | None:
    if value:
        raise ValueError(
            "an image prompt needs an image encoder, which the model does not have; "
            "leave image_prompt out"
        )
    return None


def _ratio(value: str) -> str:
    if (found := _RATIO.fullmatch(value)) is None:
        raise ValueError('must be two whole numbers such as "16:9"')
    ratio = int(found["width"]) / int(found["height"])
    if not 1 / _WIDEST <= ratio <= _WIDEST:
        raise ValueError("must be from 21:9 to 9:21")
    return value


Strength = Annotated[float, Field(ge=0, le=2)]
Side = Annotated[int, Field(ge=256, le=1440, multiple_of=32)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
ImagePrompt = Annotated[str | None, AfterValidator(_no_image_prompt)]
AspectRatio = Annotated[str, AfterValidator(_ratio)]


class ImageRequest(Told):
    """What every call that draws takes."""

    finetune_id: FinetuneId
    prompt_upsampling: Annotated[bool, AfterValidator(_no_upsampling)] = False
    seed: Seed | None = None
    safety_tolerance: Annotated[int, Field(ge=0, le=6)] = 2
    """Taken and not used: nothing is moderated here."""
    output_format: OutputFormat | None = OutputFormat.JPEG


class ProRequest(ImageRequest):
    """An image of a given size."""

    finetune_strength: Strength = 1.1
    prompt: LongText = ""
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = 40
    guidance: Annotated[float, Field(ge=1.5, le=5)] | None = 2.5
    width: Side = 1024
    height: Side = 768
    image_prompt: ImagePrompt = None


class UltraRequest(ImageRequest):
    """An image of a given shape."""

    finetune_strength: Strength = 1.2
    prompt: LongText | None = ""
    aspect_ratio: AspectRatio = "16:9"
    image_prompt: ImagePrompt = None
    image_prompt_strength: Annotated[float, Field(ge=0, le=1)] = 0.1


class FillRequest(ImageRequest):
    """A picture, part of which is drawn anew."""

    finetune_strength: Strength = 1.1
    prompt: LongText = ""
    image: str
    mask: str | None = None
    steps: Annotated[int, Field(ge=15, le=MOST_STEPS)] | None = 50
    guidance: Annotated[float, Field(ge=1.5, le=100)] | None = 60


def size(aspect_ratio: str) -> tuple[int, int]:
    """Width and height of about a megapixel in this ratio, in whole multiples of 32."""
    width, height = map(int, aspect_ratio.split(":"))
    one = math.sqrt(1024 * 1024 / (width * height))
    return _multiple(width * one), _multiple(height * one)


def _multiple(length: float) -> int:
    return round(length / 32) * 32
