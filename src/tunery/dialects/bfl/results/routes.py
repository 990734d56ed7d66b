"""`/v1/get_result`."""

from contextlib import suppress

from fastapi import APIRouter, Request, Response

from tunery.core.errors import NotFound
from tunery.dialects.answers import answer
from tunery.dialects.bfl.addresses import link_base, sample_url
from tunery.dialects.bfl.errors import BflRoute
from tunery.dialects.bfl.results.mapping import of_image, of_job, unknown
from tunery.dialects.bfl.results.schemas import ResultResponse
from tunery.dialects.requests import read_job_id
from tunery.dialects.route import caller, point_read, services

router = APIRouter(route_class=BflRoute, tags=["BFL: results"])


@router.get("/get_result")
async def get_result(request: Request, id: str) -> Response:
    """Tell how a task stands: a finetune, an image, or a job that was made at another door."""
    return answer(await point_read(request, lambda: _result(request, id)))


def _result(request: Request, task_id: str) -> ResultResponse:
    known, asking = services(request), caller(request)
    with suppress(NotFound):
        return of_job(known.jobs.get(asking, read_job_id(task_id)))
    with suppress(NotFound):
        generation = known.image_generations.get(asking, task_id)
        return of_image(generation, sample_url(link_base(request), known.links, generation.id))
    return unknown(task_id)
