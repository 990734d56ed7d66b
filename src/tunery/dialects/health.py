"""What a supervisor asks, without a key: is the process alive, and can it take work."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tunery.dialects.route import services

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Response:
    """Whether the process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """Whether requests can be served and, where local training is installed, a job can start."""
    trouble = services(request).health.trouble()
    if trouble is None:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not ready", "reason": trouble}, status_code=503)
