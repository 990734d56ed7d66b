"""Finetunes: `/v1/finetune`, and what is known of them."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from tunery.dialects.answers import answer
from tunery.dialects.bfl.addresses import link_base
from tunery.dialects.bfl.errors import BflRoute
from tunery.dialects.bfl.fields import decoded
from tunery.dialects.bfl.finetunes.mapping import details, stamped, submitted, to_core
from tunery.dialects.bfl.finetunes.schemas import (
    Deleted,
    DeleteRequest,
    DetailsResponse,
    FinetuneRequest,
    Finetunes,
)
from tunery.dialects.requests import idempotency, read_job_id
from tunery.dialects.route import caller, services

router = APIRouter(route_class=BflRoute, tags=["BFL: finetunes"])


@router.post("/finetune")
def create(
    request: Request,
    body: FinetuneRequest,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Tune the image model on a ZIP of pictures: 1 to 20, and captions in text files."""
    archive, base = decoded(body.file_data, param="file_data"), link_base(request)
    # Known by its digest, and let go of: it takes a third more than the archive.
    body.file_data = hashlib.sha256(archive).hexdigest()
    known = idempotency(idempotency_key, body)
    new = to_core(body, archive, link_base=base)
    job = services(request).finetunes.create(caller(request), new, known)
    return answer(submitted(job, link_base=base))


@router.get("/my_finetunes")
def my_finetunes(request: Request) -> Response:
    """List the ids of the project's image finetunes, newest first."""
    jobs = services(request).finetunes.list(caller(request))
    return answer(Finetunes(finetunes=[job.id for job in jobs]))


@router.get("/finetune_details")
def finetune_details(request: Request, finetune_id: str) -> Response:
    """Tell what is known of a finetune, or of a job that was made at another door."""
    job = services(request).jobs.get(caller(request), read_job_id(finetune_id))
    return answer(DetailsResponse(finetune_details=details(job)))


@router.post("/delete_finetune")
def delete_finetune(request: Request, body: DeleteRequest) -> Response:
    """Delete a finetune with its adapter and its pictures; a running one is cancelled first."""
    job_id = read_job_id(body.finetune_id)
    services(request).finetunes.delete(caller(request), job_id)
    return answer(Deleted(deleted_finetune_id=job_id, timestamp=stamped(datetime.now(UTC))))
