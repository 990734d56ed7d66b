"""`/api/v1/finetunings`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.exceptions import RequestValidationError

from tunery.core.errors import InvalidTransition, InvalidValue
from tunery.core.job import FineTuningJob
from tunery.dialects.answers import answer
from tunery.dialects.dataherald.errors import DataheraldRoute, service_errors
from tunery.dialects.dataherald.fields import UpdateMetadata
from tunery.dialects.dataherald.finetunings.mapping import OVER, to_core, to_wire
from tunery.dialects.dataherald.finetunings.schemas import (
    CancelRequest,
    Deleted,
    FineTuningRequest,
)
from tunery.dialects.requests import idempotency, read_job_id
from tunery.dialects.route import caller, services

router = APIRouter(route_class=DataheraldRoute, tags=["finetunings"])


@router.post("", status_code=201)
def create(
    request: Request,
    body: FineTuningRequest,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Tune a model on golden SQLs: those named, or all of the connection, ten at least."""
    with service_errors(body, otherwise="finetuning_not_created"), _faults_of_models(body):
        known = idempotency(idempotency_key, body)
        job = services(request).text_to_sql.finetunings.create(
            caller(request), to_core(body), known
        )
    return _finetuning(job, status=201)


@router.get("", status_code=201)
def list_finetunings(request: Request, db_connection_id: str | None = None) -> Response:
    """List the finetunings of the project, or of a connection, newest first."""
    connection_id = (db_connection_id or "").lower() or None
    jobs = services(request).jobs.connected(caller(request), connection_id)
    return answer([to_wire(job) for job in jobs], status=201)


@router.get("/{finetuning_id}")
def retrieve(request: Request, finetuning_id: str) -> Response:
    """Retrieve a finetuning, or a job that was made elsewhere."""
    return _finetuning(services(request).jobs.get(caller(request), read_job_id(finetuning_id)))


@router.put("/{finetuning_id}")
def update(request: Request, finetuning_id: str, body: UpdateMetadata) -> Response:
    """Replace the metadata of a finetuning."""
    job_id = read_job_id(finetuning_id)
    finetunings = services(request).text_to_sql.finetunings
    return _finetuning(finetunings.set_metadata(caller(request), job_id, body.metadata))


@router.post("/{finetuning_id}/cancel")
def cancel(request: Request, finetuning_id: str, body: CancelRequest | None = None) -> Response:
    """Cancel a finetuning that is not over; the body, which repeats the id, may be left out."""
    job_id, jobs = read_job_id(finetuning_id), services(request).jobs
    _check_same(job_id, body)
    try:
        return _finetuning(jobs.cancel(caller(request), job_id))
    except InvalidTransition as over:
        job = jobs.get(caller(request), job_id)
        raise InvalidTransition(OVER[job.status]) from over


@router.delete("/{finetuning_id}")
def delete(request: Request, finetuning_id: str) -> Response:
    """Delete a finetuning; one that is not over is cancelled first. Its tuned model stays."""
    services(request).jobs.delete(caller(request), read_job_id(finetuning_id))
    return answer(Deleted())


def _finetuning(job: FineTuningJob, *, status: int = 200) -> Response:
    return answer(to_wire(job), status=status)


def _check_same(job_id: str, body: CancelRequest | None) -> None:
    if body is None or not body.finetuning_id:
        return
    if body.finetuning_id.removeprefix("ftjob-") != job_id.removeprefix("ftjob-"):
        raise InvalidValue(
            f"The body names the finetuning {body.finetuning_id!r}, and the path another one; "
            "leave the body out, or let both name the same",
            param="finetuning_id",
        )


@contextmanager
def _faults_of_models(body: FineTuningRequest) -> Iterator[None]:
    """A model that there is not is a fault of the body."""
    try:
        yield
    except InvalidValue as error:
        if error.code != "model_not_found":
            raise
        asked = body.base_llm.model_name if body.base_llm else None
        fault = {
            "type": "value_error",
            "loc": ("body", "base_llm", "model_name"),
            "msg": f"Model {asked} not supported. {error.message}",
        }
        raise RequestValidationError([fault]) from error
