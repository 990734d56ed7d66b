"""Images asked of a tuned model."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from tunery.core.webhooks import Webhook

ImageFormat = Literal["jpeg", "png", "webp"]


class GenerationStatus(StrEnum):
    """Where an image stands."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """What to draw, and how.

    Sizes are in pixels. `steps` and `guidance` may be left to the model.
    """

    prompt: str
    strength: float
    """Of the adapter: 0 is the base model, 1 the model as it was tuned."""
    width: int
    height: int
    steps: int | None
    guidance: float | None
    seed: int
    format: ImageFormat = "jpeg"


@dataclass(frozen=True, kw_only=True)
class ImageGeneration:
    """An image that was asked for, from the moment it was."""

    id: str
    """A UUID, as BFL's are."""
    project_id: str
    job_id: str
    """The fine-tuning job whose model draws it."""
    settings: ImageSettings
    created_at: datetime
    fills: bool = False
    """Whether part of a given picture is drawn anew; `source` and `mask` hold what was given."""
    has_mask: bool = False
    webhook: Webhook | None = None
    request_hash: bytes | None = None
    """A digest of the call that asked for it, where that came with an idempotency key."""
    status: GenerationStatus = GenerationStatus.PENDING
    progress: float = 0.0
    """From 0 to 1."""
    error: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def folder(self) -> str:
        """The blob key of all that belongs to it."""
        return f"image-generations/{self.id}"

    @property
    def source(self) -> str:
        """The blob key of the picture that was given."""
        return f"{self.folder}/source.png"

    @property
    def mask(self) -> str:
        """The blob key of the mask that was given; white is drawn anew."""
        return f"{self.folder}/mask.png"

    @property
    def image(self) -> str:
        """The blob key of what was drawn."""
        return f"{self.folder}/image.{self.settings.format}"


class PaintRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image to draw; a line to the child that draws."""

    location: str
    """The base model: a folder, or a Hugging Face id."""
    adapter: str | None
    """The folder of the adapter on this machine, in diffusers' layout."""
    settings: ImageSettings
    source: bytes | None = None
    """PNG: a picture, part of which is to be drawn anew."""
    mask: bytes | None = None
    """PNG of the same size: white is drawn anew; None: everything is."""


class Painted(msgspec.Struct, frozen=True, kw_only=True):
    """The image, in the format that was asked for."""

    image: bytes
