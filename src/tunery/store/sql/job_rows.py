"""A job's row into the core's value and back. Retrieving a job is the hottest read there is."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tunery.core.access import IdentityType
from tunery.core.hyperparameters import Hyperparameters, ResolvedHyperparameters
from tunery.core.job import FineTuningJob, JobError, JobStatus
from tunery.core.lora import LoraConfig
from tunery.core.method import Method, Preference, Subject, Supervised
from tunery.core.progress import Evaluated
from tunery.core.text_to_sql import SqlSource
from tunery.core.webhooks import Webhook
from tunery.store.record import Record
from tunery.store.sql.database import Row
from tunery.store.sql.rows import IDENTITY_TYPE, to_json
from tunery.store.statements.columns import JOB_COLUMNS
from tunery.store.times import from_us, from_us_or_none, to_us, to_us_or_none

_hyperparameters = msgspec.json.Decoder(Hyperparameters).decode
_preference = msgspec.json.Decoder(Preference).decode
_subject = msgspec.json.Decoder(Subject).decode
_lora = msgspec.json.Decoder(LoraConfig).decode
_labels = msgspec.json.Decoder(dict[str, str]).decode
_echo = msgspec.json.Decoder(dict[str, Any]).decode
_resolved = msgspec.json.Decoder(ResolvedHyperparameters).decode
_strings = msgspec.json.Decoder(tuple[str, ...]).decode
_error = msgspec.json.Decoder(JobError).decode
_sql_source = msgspec.json.Decoder(SqlSource).decode
_evaluation = msgspec.json.Decoder(Evaluated).decode
_webhook = msgspec.json.Decoder(Webhook).decode
_values = msgspec.json.Decoder(dict[str, Any]).decode
_STATUS = {str(status): status for status in JobStatus}


def job(row: Row) -> FineTuningJob:
    """A job from `JOB_COLUMNS`."""
    return FineTuningJob(
        id=row[0],
        project_id=row[1],
        organization_id=row[2],
        created_by=row[3],
        created_at=from_us(row[4]),
        status=_STATUS[row[5]],
        engine=row[6],
        base_model=row[7],
        requested_model=row[8],
        training_file=row[9],
        validation_file=row[10],
        method=_method(row[11], row[12]),
        lora=_lora(row[13]),
        overlong=row[14],
        suffix=row[15],
        seed=row[16],
        metadata=None if row[17] is None else _labels(row[17]),
        echo=_echo(row[18]),
        initial_adapter=row[19],
        resolved=None if row[20] is None else _resolved(row[20]),
        total_steps=row[21],
        last_step=row[22],
        trained_tokens=row[23],
        started_at=from_us_or_none(row[24]),
        finished_at=from_us_or_none(row[25]),
        estimated_finish=from_us_or_none(row[26]),
        fine_tuned_model=row[27],
        result_files=_strings(row[28]),
        error=None if row[29] is None else _error(row[29]),
        created_by_type=IDENTITY_TYPE[row[30]],
        sql_source=None if row[31] is None else _sql_source(row[31]),
        evaluation=None if row[32] is None else _evaluation(row[32]),
        webhook=None if row[33] is None else _webhook(row[33]),
        sample_prompts=None if row[34] is None else _strings(row[34]),
    )


def record(row: Row) -> Record:
    """A job and who holds it, from `RECORD_COLUMNS`."""
    return Record(
        job=job(row),
        owner=row[35],
        token=row[36],
        lease_until_us=row[37],
        deaths=row[38],
        last_event=row[39],
        deleted_at_us=row[40],
    )


def new_values(job: FineTuningJob) -> dict[str, object]:
    """The columns of a new job."""
    return _asked(job) | progress_values(Record(job=job))


def _asked(job: FineTuningJob) -> dict[str, object]:
    return {
        "id": job.id,
        "project_id": job.project_id,
        "organization_id": job.organization_id,
        "created_by": job.created_by,
        "created_at_us": to_us(job.created_at),
        "engine": job.engine,
        "base_model": job.base_model,
        "requested_model": job.requested_model,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "method": _method_name(job.method),
        "hyperparameters": to_json(_method_settings(job.method)),
        "lora": to_json(job.lora),
        "overlong": job.overlong,
        "suffix": job.suffix,
        "seed": job.seed,
        "metadata": None if job.metadata is None else to_json(job.metadata),
        "echo": to_json(job.echo),
        "initial_adapter": job.initial_adapter,
        "created_by_type": job.created_by_type.value,
        "sql_source": None if job.sql_source is None else to_json(job.sql_source),
        "db_connection_id": None if job.sql_source is None else job.sql_source.db_connection_id,
        "webhook": None if job.webhook is None else to_json(job.webhook),
        "sample_prompts": None if job.sample_prompts is None else to_json(job.sample_prompts),
    }


def progress_values(record: Record) -> dict[str, object]:
    """The columns that change while a job lives."""
    job = record.job
    return {
        "status": job.status.value,
        "resolved": None if job.resolved is None else to_json(job.resolved),
        "total_steps": job.total_steps,
        "last_step": job.last_step,
        "trained_tokens": job.trained_tokens,
        "started_at_us": to_us_or_none(job.started_at),
        "finished_at_us": to_us_or_none(job.finished_at),
        "estimated_finish_us": to_us_or_none(job.estimated_finish),
        "fine_tuned_model": job.fine_tuned_model,
        "result_files": to_json(job.result_files),
        "error": None if job.error is None else to_json(job.error),
        "evaluation": None if job.evaluation is None else to_json(job.evaluation),
        "lease_owner": record.owner,
        "lease_token": record.token,
        "lease_until_us": record.lease_until_us,
        "deaths": record.deaths,
        "last_event": record.last_event,
        "deleted_at_us": record.deleted_at_us,
    }


def snapshot(job: FineTuningJob) -> str:
    """A new job as a JSON text, kept as the answer to a create call (I7)."""
    return to_json(new_values(job))


def from_snapshot(text: str) -> FineTuningJob:
    """The job that `snapshot` kept, by name: it may be of an older version's columns."""
    # What an earlier version kept says nothing of who asked: it knew only users.
    values = {"created_by_type": str(IdentityType.USER), **_values(text)}
    return job(tuple(values.get(column.name) for column in JOB_COLUMNS))


def pairs(metadata: Mapping[str, str]) -> Iterator[bytes]:
    """The digest of each pair; the key's length keeps key and value apart."""
    for key, value in metadata.items():
        yield hashlib.sha256(f"{len(key)}:{key}{value}".encode(errors="surrogatepass")).digest()


def _method(name: str, hyperparameters: str) -> Method:
    match name:
        case "supervised":
            return Supervised(hyperparameters=_hyperparameters(hyperparameters))
        case "dpo":
            return _preference(hyperparameters)
        case "subject":
            return _subject(hyperparameters)
        case _:
            raise ValueError(f"unknown method {name!r}")


def _method_name(method: Method) -> str:
    match method:
        case Supervised():
            return "supervised"
        case Preference():
            return "dpo"
        case Subject():
            return "subject"


def _method_settings(method: Method) -> object:
    """What of the method stands in the column of hyperparameters."""
    match method:
        case Supervised():
            return method.hyperparameters
        case Preference() | Subject():
            return method
