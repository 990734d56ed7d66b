"""The routes of fine-tuning jobs: parse, call, map, return."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from tunery.core.events import Checkpoint, Event
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.pages import Page
from tunery.dialects.answers import answer
from tunery.dialects.openai import gateway
from tunery.dialects.openai.answers import ListPage, ListPageWithEnds
from tunery.dialects.openai.errors import DirectOpenAIRoute, OpenAIRoute
from tunery.dialects.openai.fine_tuning import mapping
from tunery.dialects.openai.fine_tuning.queries import metadata_filter, page_request
from tunery.dialects.openai.fine_tuning.schemas import CreateJob, Status
from tunery.dialects.openai.fine_tuning.stream import event_stream
from tunery.dialects.requests import idempotency, read_job_id
from tunery.dialects.route import caller, point_read, services

router = APIRouter(prefix="/fine_tuning/jobs", tags=["Fine-tuning"], route_class=OpenAIRoute)


async def retrieve(request: Request, fine_tuning_job_id: str) -> Response:
    """Retrieve a fine-tuning job."""
    job_id = read_job_id(fine_tuning_job_id)
    jobs, asking = services(request).jobs, caller(request)
    return _job(request, await point_read(request, lambda: jobs.get(asking, job_id)))


router.add_api_route(
    "/{fine_tuning_job_id}", retrieve, methods=["GET"], route_class_override=DirectOpenAIRoute
)


@router.post("")
def create(
    request: Request,
    body: CreateJob,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Create a fine-tuning job, or with `x_tunery.dry_run` only say what it would be."""
    jobs, asking, choice = services(request).jobs, caller(request), gateway.choice(request)
    body = choice.over(body)
    new = choice.to_core(body)
    with choice.names_headers():
        if body.x_tunery is not None and body.x_tunery.dry_run:
            outcome = jobs.dry_run(asking, new)
            return answer(mapping.dry_run_to_wire(outcome), headers=_headers(request, outcome.job))
        known = idempotency(idempotency_key, body, also=choice.kept)
        return _job(request, jobs.create(asking, new, known))


@router.get("")
def list_jobs(request: Request, after: str | None = None, limit: int = 20) -> Response:
    """List the project's fine-tuning jobs, newest first; `metadata[key]=value` filters."""
    pairs, without = metadata_filter(request.query_params)
    page: Page[FineTuningJob] = services(request).jobs.list(
        caller(request), page_request(after, limit), metadata=pairs, without_metadata=without
    )
    words = _words(request)
    jobs = [mapping.to_wire(job, words) for job in page.items]
    return answer(ListPage(data=jobs, has_more=page.has_more))


@router.post("/{fine_tuning_job_id}/cancel")
def cancel(request: Request, fine_tuning_job_id: str) -> Response:
    """Cancel a job that is not over."""
    job_id = read_job_id(fine_tuning_job_id)
    return _job(request, services(request).jobs.cancel(caller(request), job_id))


@router.post("/{fine_tuning_job_id}/pause")
def pause(request: Request, fine_tuning_job_id: str) -> Response:
    """Let a job wait; a running one saves a checkpoint first."""
    job_id = read_job_id(fine_tuning_job_id)
    return _job(request, services(request).jobs.pause(caller(request), job_id))


@router.post("/{fine_tuning_job_id}/resume")
def resume(request: Request, fine_tuning_job_id: str) -> Response:
    """Let a paused job go on from its last checkpoint."""
    job_id = read_job_id(fine_tuning_job_id)
    return _job(request, services(request).jobs.resume(caller(request), job_id))


@router.get("/{fine_tuning_job_id}/events")
async def list_events(
    request: Request,
    fine_tuning_job_id: str,
    after: str | None = None,
    limit: int = 20,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """List a job's events, newest first; as a stream, oldest first, to who accepts one."""
    job_id = read_job_id(fine_tuning_job_id)
    jobs, asking = services(request).jobs, caller(request)
    if "text/event-stream" in request.headers.get("accept", ""):
        return await event_stream(jobs, asking, job_id, last_event_id)
    wanted = page_request(after, limit)
    page: Page[Event] = await run_in_threadpool(jobs.events, asking, job_id, wanted)
    events = [mapping.event_to_wire(event) for event in page.items]
    return answer(ListPage(data=events, has_more=page.has_more))


@router.get("/{fine_tuning_job_id}/checkpoints")
def list_checkpoints(
    request: Request, fine_tuning_job_id: str, after: str | None = None, limit: int = 10
) -> Response:
    """List a job's checkpoints, newest first."""
    job_id = read_job_id(fine_tuning_job_id)
    page: Page[Checkpoint] = services(request).jobs.checkpoints(
        caller(request), job_id, page_request(after, limit)
    )
    found = [mapping.checkpoint_to_wire(checkpoint) for checkpoint in page.items]
    return answer(
        ListPageWithEnds(
            data=found,
            has_more=page.has_more,
            first_id=found[0].id if found else None,
            last_id=found[-1].id if found else None,
        )
    )


def _job(request: Request, job: FineTuningJob) -> Response:
    return answer(mapping.to_wire(job, _words(request)), headers=_headers(request, job))


def _words(request: Request) -> Mapping[JobStatus, Status]:
    return gateway.STATUS if gateway.is_addressed(request.scope) else mapping.STATUS


def _headers(request: Request, job: FineTuningJob) -> Mapping[str, str] | None:
    return gateway.resolved(job.base_model) if gateway.is_addressed(request.scope) else None
