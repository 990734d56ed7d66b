"""`/api/v1/heartbeat`, which supervisors ask without a key."""

import time

from fastapi import APIRouter, Response

from tunery.dialects.answers import answer

router = APIRouter(tags=["heartbeat"])


@router.get("")
async def heartbeat() -> Response:
    """Tell the server's time in nanoseconds."""
    return answer({"nanosecond heartbeat": time.time_ns()})
