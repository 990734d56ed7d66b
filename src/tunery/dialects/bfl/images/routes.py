"""Images: the calls that ask for one, and the links that open one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from tunery.core.errors import NotFound, Unsupported
from tunery.core.image_generations import ImageFormat
from tunery.dialects.answers import answer
from tunery.dialects.bfl.addresses import link_base
from tunery.dialects.bfl.errors import BflRoute, LinkRoute
from tunery.dialects.bfl.images.mapping import AnyRequest, submitted, to_core
from tunery.dialects.bfl.images.schemas import FillRequest, ProRequest, UltraRequest
from tunery.dialects.requests import idempotency
from tunery.dialects.route import caller, services

_PRIVATE = {"cache-control": "private, max-age=600", "x-content-type-options": "nosniff"}

router = APIRouter(route_class=BflRoute, tags=["BFL: images"])
_links = APIRouter(route_class=LinkRoute, tags=["BFL: images"])

IdempotencyKey = Annotated[str | None, Header()]


@router.post("/flux-pro-finetuned")
def draw(request: Request, body: ProRequest, idempotency_key: IdempotencyKey = None) -> Response:
    """Ask for an image of a given size."""
    return _begun(request, body, idempotency_key)


@router.post("/flux-pro-1.1-ultra-finetuned")
def draw_ultra(
    request: Request, body: UltraRequest, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask for an image of a given shape, of about a megapixel."""
    return _begun(request, body, idempotency_key)


@router.post("/flux-pro-1.0-fill-finetuned")
def fill(request: Request, body: FillRequest, idempotency_key: IdempotencyKey = None) -> Response:
    """Ask for part of a picture to be drawn anew: where `mask` is white, or all of it.

    Without a mask it is where the picture is transparent, if that is anywhere.
    """
    return _begun(request, body, idempotency_key)


@router.post("/flux-pro-1.0-canny-finetuned")
@router.post("/flux-pro-1.0-depth-finetuned")
def draw_controlled() -> Response:
    """Refuse: there is no control model here."""
    raise Unsupported(
        "The edges or depths of a picture can be followed only with a control model, which this "
        "server does not have; POST /v1/flux-pro-finetuned draws without one.",
        param="control_image",
    )


@_links.get("/images/{generation_id:uuid}")
def image(
    request: Request, generation_id: UUID, expires: str = "", signature: str = ""
) -> Response:
    """Open a signed link to an image; it needs no key, and is good for ten minutes."""
    known = services(request)
    known.links.check(str(generation_id), expires, signature)
    generation, path = known.image_generations.image(str(generation_id))
    try:
        data = path.read_bytes()
    except FileNotFoundError as gone:
        raise NotFound("image", str(generation_id)) from gone
    return Response(data, media_type=_media_type(generation.settings.format), headers=_PRIVATE)


router.include_router(_links)


def _begun(request: Request, body: AnyRequest, idempotency_key: str | None) -> Response:
    known, base = idempotency(idempotency_key, body), link_base(request)
    new = to_core(body, link_base=base)
    generation = services(request).image_generations.create(caller(request), new, known)
    return answer(submitted(generation, link_base=base))


def _media_type(format: ImageFormat) -> str:
    return f"image/{format}"
