"""`/v1/credits`."""

from fastapi import APIRouter, Request, Response

from tunery.dialects.answers import answer
from tunery.dialects.bfl.errors import BflRoute

UNLIMITED = 1_000_000.0
"""What a key without a budget has: enough that no client stops for it."""

router = APIRouter(route_class=BflRoute, tags=["BFL: credits"])


@router.get("/credits")
def credits(request: Request) -> Response:
    """How many credits are left; they are not counted here."""
    return answer({"credits": UNLIMITED})
