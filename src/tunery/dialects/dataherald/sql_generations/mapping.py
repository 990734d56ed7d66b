"""SQL generations in Dataherald's words, and back."""

from typing import cast

from tunery.core.errors import InvalidValue, Unsupported
from tunery.core.text_to_sql import FailedSql, SqlGeneration, SqlStatus
from tunery.dialects.dataherald.fields import stamped
from tunery.dialects.dataherald.sql_generations import schemas
from tunery.dialects.requests import read_job_id
from tunery.service.text_to_sql.sql_generations import NewSqlGeneration

_STATUS: dict[SqlStatus, schemas.Status] = {
    SqlStatus.NONE: "NONE",
    SqlStatus.VALID: "VALID",
    SqlStatus.INVALID: "INVALID",
}


def to_core(body: schemas.SqlGenerationRequest) -> NewSqlGeneration:
    """What `body` asks for.

    Raises:
        InvalidValue: low latency without a finetuning.
        Unsupported: it asks for what is not there.
        NotFound: no finetuning can have this id.
    """
    config = body.llm_config or schemas.LlmConfig()
    if body.low_latency_mode and not body.finetuning_id:
        raise InvalidValue(
            "low_latency_mode is true, but only a finetuned model answers in low latency: name "
            "its finetuning_id, or leave low_latency_mode out",
            param="low_latency_mode",
        )
    if body.evaluate:
        raise Unsupported(
            "evaluate is true, but this server gives no confidence scores; leave it out. How a "
            "finetuned model does on questions held out from it stands on its finetuning.",
            param="evaluate",
        )
    if config.api_base:
        raise Unsupported(
            "llm_config.api_base names another server, but this one writes SQL with its own "
            "models; leave it out",
            param="llm_config.api_base",
        )
    return NewSqlGeneration(
        finetuning_id=read_job_id(body.finetuning_id) if body.finetuning_id else None,
        model=config.llm_name or None,
        sql=body.sql,
        metadata=body.metadata,
        echo={"llm_name": config.llm_name or None},
    )


def to_wire(generated: SqlGeneration) -> schemas.SqlGenerationResponse:
    """`generated` as every route answers it."""
    done, job_id = generated.completed_at, generated.finetuning_id
    model = cast(str | None, generated.echo.get("llm_name")) or generated.model
    return schemas.SqlGenerationResponse(
        id=generated.id,
        metadata=generated.metadata,
        created_at=stamped(generated.created_at),
        prompt_id=generated.prompt_id,
        finetuning_id=None if job_id is None else job_id.removeprefix("ftjob-"),
        status=_STATUS[generated.status],
        completed_at=None if done is None else stamped(done),
        llm_config=None if model is None else schemas.LlmConfigResponse(llm_name=model),
        intermediate_steps=None if generated.repaired is None else [_step(generated.repaired)],
        sql=generated.sql,
        tokens_used=generated.tokens_used,
        error=generated.error,
    )


def _step(failed: FailedSql) -> schemas.IntermediateStep:
    return schemas.IntermediateStep(
        thought="The first SQL failed and was written again.",
        action="run_sql",
        action_input=failed.sql,
        observation=failed.error,
    )
