"""The routes of fine-tuning jobs: parse, call, map, return."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from tunery.core.access import Caller
from tunery.core.events import Event
from tunery.core.job import FineTuningJob
from tunery.core.pages import NumberedItems, Page, PageRequest
from tunery.dialects.answers import answer
from tunery.dialects.egp.accounts import check_account
from tunery.dialects.egp.answers import Deleted
from tunery.dialects.egp.arrays import json_array
from tunery.dialects.egp.errors import EgpRoute, placed
from tunery.dialects.egp.fine_tuning import mapping, schemas
from tunery.dialects.egp.fine_tuning.schemas import CreateJob
from tunery.dialects.egp.pages import PageWanted, item_page
from tunery.dialects.requests import idempotency, read_job_id
from tunery.dialects.route import caller, point_read, services
from tunery.service.jobs import Jobs

router = APIRouter(prefix="/fine-tuning-jobs", tags=["Scale: fine-tuning"], route_class=EgpRoute)

_EVENTS_AT_A_TIME = 1000


@router.post("")
def create(
    request: Request, body: CreateJob, idempotency_key: Annotated[str | None, Header()] = None
) -> Response:
    """Create a fine-tuning job."""
    check_account(request, body.account_id)
    with placed(mapping.PLACES):
        known = idempotency(idempotency_key, body)
        job = services(request).jobs.create(caller(request), mapping.to_core(body), known)
    return answer(mapping.to_wire(job))


@router.get("")
def list_jobs(request: Request, page: PageWanted) -> Response:
    """List the project's fine-tuning jobs, newest first."""
    found: NumberedItems[FineTuningJob] = services(request).jobs.numbered(caller(request), page)
    jobs = [mapping.to_wire(job) for job in found.items]
    return answer(item_page(jobs, found.total, page))


@router.get("/{fine_tuning_job_id}")
async def retrieve(request: Request, fine_tuning_job_id: str) -> Response:
    """Retrieve a fine-tuning job."""
    job_id = read_job_id(fine_tuning_job_id)
    jobs, asking = services(request).jobs, caller(request)
    return answer(mapping.to_wire(await point_read(request, lambda: jobs.get(asking, job_id))))


@router.delete("/{fine_tuning_job_id}")
def delete(request: Request, fine_tuning_job_id: str) -> Response:
    """Delete a fine-tuning job, cancelled first where it is not over; its tuned model stays."""
    services(request).jobs.delete(caller(request), read_job_id(fine_tuning_job_id))
    return answer(Deleted())


@router.get("/{fine_tuning_job_id}/events")
def list_events(request: Request, fine_tuning_job_id: str) -> Response:
    """List all of a job's events, oldest first."""
    job_id = read_job_id(fine_tuning_job_id)
    jobs, asking = services(request).jobs, caller(request)
    first = _events(jobs, asking, job_id, after=None)
    return StreamingResponse(
        json_array(_wire_events(jobs, asking, job_id, first)), media_type="application/json"
    )


def _wire_events(
    jobs: Jobs, asking: Caller, job_id: str, page: Page[Event]
) -> Iterator[schemas.EventObject]:
    while True:
        for event in page.items:
            yield mapping.event_to_wire(event)
        if not page.has_more:
            return
        page = _events(jobs, asking, job_id, after=page.items[-1].id)


def _events(jobs: Jobs, asking: Caller, job_id: str, *, after: str | None) -> Page[Event]:
    wanted = PageRequest(limit=_EVENTS_AT_A_TIME, after=after, ascending=True)
    return jobs.events(asking, job_id, wanted)
