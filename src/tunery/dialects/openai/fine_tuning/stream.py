"""A job's events as they happen, as a server-sent stream that can be taken up again."""

from collections.abc import AsyncIterator

import anyio
from fastapi import Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from tunery.core.access import Caller
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.events import Event, event_number
from tunery.core.pages import PageRequest
from tunery.dialects.answers import encode
from tunery.dialects.openai.fine_tuning.mapping import event_to_wire
from tunery.service.jobs import Jobs

_LOOK_EVERY_S = 0.3
_KEEP_ALIVE_S = 15
_BATCH = 200
_SHUTDOWN_S = 2

_NOTHING_MORE = 204
"""What tells an `EventSource` not to connect again."""


async def event_stream(
    jobs: Jobs, caller: Caller, job_id: str, last_event_id: str | None
) -> Response:
    """Every event after `last_event_id`, oldest first, until the job is over and all is sent.

    Raises:
        NotFound: the project has no such job.
        InvalidValue: `last_event_id` is not one of this job's events.
    """
    if last_event_id and event_number(job_id, last_event_id) is None:
        raise InvalidValue(
            f"Last-Event-ID {last_event_id!r} is not the id of an event of {job_id}",
            param="Last-Event-ID",
        )
    events, over = await run_in_threadpool(_news, jobs, caller, job_id, last_event_id or None)
    if over and not events and last_event_id:
        return Response(status_code=_NOTHING_MORE)
    closing = anyio.Event()
    return EventSourceResponse(
        _follow(jobs, caller, job_id, events, over, closing),
        ping=_KEEP_ALIVE_S,
        shutdown_event=closing,
        shutdown_grace_period=_SHUTDOWN_S,
    )


async def _follow(
    jobs: Jobs,
    caller: Caller,
    job_id: str,
    events: tuple[Event, ...],
    over: bool,
    closing: anyio.Event,
) -> AsyncIterator[ServerSentEvent]:
    """`events` and all that come after them; with the server, the stream ends in good order."""
    last: str | None = None
    while True:
        for event in events:
            last = event.id
            yield ServerSentEvent(data=encode(event_to_wire(event)).decode(), id=event.id)
        if len(events) < _BATCH and not over:
            with anyio.move_on_after(_LOOK_EVERY_S):
                await closing.wait()
        if over or closing.is_set():
            return
        try:
            events, over = await run_in_threadpool(_news, jobs, caller, job_id, last)
        except NotFound:
            # Deleted meanwhile: there is nothing more to hear of it, here or anywhere.
            return


def _news(
    jobs: Jobs, caller: Caller, job_id: str, last: str | None
) -> tuple[tuple[Event, ...], bool]:
    """What was said after `last`, and whether that was the end of it."""
    # The job first: what ends it and its last event are written together, so an end that is seen
    # here has all its events in the page read after it.
    ended = jobs.get(caller, job_id).status.is_final
    page = jobs.events(caller, job_id, PageRequest(limit=_BATCH, after=last, ascending=True))
    return page.items, ended and not page.has_more
