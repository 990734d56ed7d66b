"""Finetunings in Dataherald's words, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from tunery.core.hyperparameters import Hyperparameters
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.progress import Evaluated, Score
from tunery.dialects.dataherald.finetunings import schemas
from tunery.dialects.dataherald.finetunings.parameters import from_text, to_text
from tunery.service.text_to_sql.finetunings import DOOR, NewFinetuning

STATUS: dict[JobStatus, schemas.Status] = {
    JobStatus.VALIDATING_FILES: "validating_files",
    JobStatus.QUEUED: "queued",
    JobStatus.RUNNING: "running",
    # Its clients know no "paused".
    JobStatus.PAUSED: "queued",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}

OVER: Mapping[JobStatus, str] = {
    JobStatus.SUCCEEDED: "Model has already succeeded. Cannot cancel.",
    JobStatus.FAILED: "Model has already failed. Cannot cancel.",
    JobStatus.CANCELLED: "Model has already been cancelled.",
}
"""Why a job that is over cannot be cancelled, in words that Dataherald's clients know."""

_OPENAI = "openai"
_CANCELLED = "Fine tuning cancelled by the user"


def to_core(body: schemas.FineTuningRequest) -> NewFinetuning:
    """The finetuning that `body` asks for."""
    llm = body.base_llm or schemas.BaseLlm()
    provider = llm.model_provider or None
    is_openai = provider is not None and provider.lower() == _OPENAI
    return NewFinetuning(
        db_connection_id=body.db_connection_id,
        golden_records=body.golden_sqls or (),
        schemas=body.schemas or (),
        alias=body.alias,
        model=llm.model_name or None,
        vendor=_OPENAI if is_openai else None,
        engine=None if is_openai else provider,
        hyperparameters=from_text(llm.model_parameters or {}),
        echo={
            "model_provider": provider,
            "model_parameters": llm.model_parameters,
            "metadata": body.metadata,
        },
    )


def to_wire(job: FineTuningJob) -> schemas.FinetuningResponse:
    """`job` as every route answers it; what one of another door lacks is filled in."""
    echo = cast(Mapping[str, object], job.echo.get(DOOR, {}))
    source = job.sql_source
    records = () if source is None else source.golden_records
    return schemas.FinetuningResponse(
        id=short_id(job.id),
        alias=cast(str | None, echo.get("alias")) or job.suffix or job.requested_model,
        db_connection_id="" if source is None else source.db_connection_id,
        schemas=None if source is None else source.schemas,
        status=STATUS[job.status],
        error=_error(job),
        base_llm=schemas.BaseLlmResponse(
            model_provider=cast(str | None, echo.get("model_provider")) or job.engine,
            model_name=job.base_model,
            model_parameters=_parameters(echo, job.method.hyperparameters),
        ),
        finetuning_file_id=job.training_file,
        finetuning_job_id=job.id,
        model_id=job.fine_tuned_model,
        created_at=_naive(job.created_at),
        golden_records=records,
        golden_sqls=records,
        metadata=cast(Mapping[str, object] | None, echo.get("metadata", job.metadata)),
        evaluation=None if job.evaluation is None else _evaluation(job.evaluation),
    )


def short_id(job_id: str) -> str:
    """A job's id as this door writes it: its clients take nothing but 24 hexadecimal digits."""
    return job_id.removeprefix("ftjob-")


def _naive(moment: datetime) -> str:
    """A time as finetunings alone have it here: UTC, but without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _error(job: FineTuningJob) -> str | None:
    if job.status is JobStatus.CANCELLED:
        return _CANCELLED
    return None if job.error is None else job.error.message


def _parameters(echo: Mapping[str, object], asked: Hyperparameters) -> Mapping[str, str] | None:
    return cast(Mapping[str, str] | None, echo.get("model_parameters")) or to_text(asked)


def _evaluation(evaluated: Evaluated) -> schemas.EvaluationResponse:
    return schemas.EvaluationResponse(base=_score(evaluated.base), tuned=_score(evaluated.tuned))


def _score(score: Score) -> schemas.ScoreResponse:
    return schemas.ScoreResponse(
        n=score.n, exact_match=score.exact_match, execution_match=score.execution_match
    )
