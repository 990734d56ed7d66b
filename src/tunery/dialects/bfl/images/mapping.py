"""Images in BFL's words, and back."""

import secrets

from tunery.core.image_generations import ImageGeneration, ImageSettings
from tunery.dialects.bfl.addresses import polling_url
from tunery.dialects.bfl.answers import ImageSubmitted, told
from tunery.dialects.bfl.fields import decoded
from tunery.dialects.bfl.images import schemas
from tunery.dialects.requests import read_job_id
from tunery.service.finetunes import DOOR
from tunery.service.image_generations import NewImage

LARGEST_SEED = 2**32 - 1
AnyRequest = schemas.ProRequest | schemas.UltraRequest | schemas.FillRequest


def to_core(body: AnyRequest, *, link_base: str) -> NewImage:
    """The image that `body` asks for.

    Raises:
        InvalidValue: a picture in it is not base64.
        NotFound: what it names can be no finetune.
    """
    source, mask = _pictures(body)
    return NewImage(
        job_id=read_job_id(body.finetune_id),
        settings=_settings(body),
        source=source,
        mask=mask,
        webhook_url=body.url,
        webhook_secret=body.webhook_secret,
        link_base=link_base,
        door=DOOR,
    )


def submitted(generation: ImageGeneration, *, link_base: str) -> ImageSubmitted:
    """`generation` as the call that asked for it answers."""
    state, webhook_url = told(generation.webhook)
    return ImageSubmitted(
        id=generation.id,
        polling_url=polling_url(link_base, generation.id),
        status=state,
        webhook_url=webhook_url,
    )


def _settings(body: AnyRequest) -> ImageSettings:
    width, height = _size(body)
    steps, guidance = _pace(body)
    return ImageSettings(
        prompt=body.prompt or "",
        strength=body.finetune_strength,
        width=width,
        height=height,
        steps=steps,
        guidance=guidance,
        seed=secrets.randbelow(LARGEST_SEED) if body.seed is None else body.seed,
        format=(body.output_format or schemas.OutputFormat.JPEG).value,
    )


def _size(body: AnyRequest) -> tuple[int, int]:
    match body:
        case schemas.ProRequest():
            return body.width, body.height
        case schemas.UltraRequest():
            return schemas.size(body.aspect_ratio)
        case schemas.FillRequest():
            # That of the picture, once it is read.
            return 0, 0


def _pace(body: AnyRequest) -> tuple[int | None, float | None]:
    """Steps and guidance; ultra leaves them to the model."""
    match body:
        case schemas.ProRequest() | schemas.FillRequest():
            return body.steps, body.guidance
        case schemas.UltraRequest():
            return None, None


def _pictures(body: AnyRequest) -> tuple[bytes | None, bytes | None]:
    """The picture to change, and where it is to be changed."""
    match body:
        case schemas.ProRequest() | schemas.UltraRequest():
            return None, None
        case schemas.FillRequest():
            mask = None if body.mask is None else decoded(body.mask, param="mask")
            return decoded(body.image, param="image"), mask
