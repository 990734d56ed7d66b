"""The columns that each value is read from, in the order that `sql/rows.py` takes them."""

from typing import Any

from sqlalchemy import Column

from tunery.store.tables import (
    checkpoints,
    errands,
    events,
    files,
    jobs,
    keys,
    models,
    upload_parts,
    uploads,
    users,
)

KEY_COLUMNS: tuple[Column[Any], ...] = (
    keys.c.id,
    keys.c.project_id,
    keys.c.user_id,
    keys.c.name,
    keys.c.digest,
    keys.c.hint,
    keys.c.created_at_us,
    keys.c.expires_at_us,
    keys.c.revoked_at_us,
)

LISTED_KEY_COLUMNS = (*KEY_COLUMNS, users.c.identity_type, users.c.name)

FILE_COLUMNS: tuple[Column[Any], ...] = (
    files.c.id,
    files.c.project_id,
    files.c.created_at_us,
    files.c.filename,
    files.c.purpose,
    files.c.size_bytes,
    files.c.sha256,
    files.c.expires_at_us,
    files.c.format,
    files.c.n_rows,
    files.c.created_by,
    files.c.created_by_type,
    files.c.echo,
)

UPLOAD_COLUMNS: tuple[Column[Any], ...] = (
    uploads.c.id,
    uploads.c.project_id,
    uploads.c.created_at_us,
    uploads.c.expires_at_us,
    uploads.c.filename,
    uploads.c.mime_type,
    uploads.c.purpose,
    uploads.c.size_bytes,
    uploads.c.status,
    uploads.c.file_expires_after_s,
    uploads.c.file_id,
)

PART_COLUMNS: tuple[Column[Any], ...] = (
    upload_parts.c.id,
    upload_parts.c.upload_id,
    upload_parts.c.created_at_us,
    upload_parts.c.size_bytes,
)

JOB_COLUMNS: tuple[Column[Any], ...] = (
    jobs.c.id,
    jobs.c.project_id,
    jobs.c.organization_id,
    jobs.c.created_by,
    jobs.c.created_at_us,
    jobs.c.status,
    jobs.c.engine,
    jobs.c.base_model,
    jobs.c.requested_model,
    jobs.c.training_file,
    jobs.c.validation_file,
    jobs.c.method,
    jobs.c.hyperparameters,
    jobs.c.lora,
    jobs.c.overlong,
    jobs.c.suffix,
    jobs.c.seed,
    jobs.c.metadata,
    jobs.c.echo,
    jobs.c.initial_adapter,
    jobs.c.resolved,
    jobs.c.total_steps,
    jobs.c.last_step,
    jobs.c.trained_tokens,
    jobs.c.started_at_us,
    jobs.c.finished_at_us,
    jobs.c.estimated_finish_us,
    jobs.c.fine_tuned_model,
    jobs.c.result_files,
    jobs.c.error,
    jobs.c.created_by_type,
    jobs.c.sql_source,
    jobs.c.evaluation,
    jobs.c.webhook,
    jobs.c.sample_prompts,
)

KEEPING_COLUMNS: tuple[Column[Any], ...] = (
    jobs.c.lease_owner,
    jobs.c.lease_token,
    jobs.c.lease_until_us,
    jobs.c.deaths,
    jobs.c.last_event,
    jobs.c.deleted_at_us,
)
"""What a store keeps of a job and nobody sees."""

RECORD_COLUMNS = (*JOB_COLUMNS, *KEEPING_COLUMNS)

PROGRESS_COLUMNS: tuple[Column[Any], ...] = (
    jobs.c.status,
    jobs.c.resolved,
    jobs.c.total_steps,
    jobs.c.last_step,
    jobs.c.trained_tokens,
    jobs.c.started_at_us,
    jobs.c.finished_at_us,
    jobs.c.estimated_finish_us,
    jobs.c.fine_tuned_model,
    jobs.c.result_files,
    jobs.c.error,
    jobs.c.evaluation,
    *KEEPING_COLUMNS,
)
"""The columns that change while a job lives."""

EVENT_COLUMNS: tuple[Column[Any], ...] = (
    events.c.job_id,
    events.c.number,
    events.c.created_at_us,
    events.c.level,
    events.c.message,
    events.c.type,
    events.c.data,
)

CHECKPOINT_COLUMNS: tuple[Column[Any], ...] = (
    checkpoints.c.id,
    checkpoints.c.project_id,
    checkpoints.c.job_id,
    checkpoints.c.created_at_us,
    checkpoints.c.step,
    checkpoints.c.folder,
    checkpoints.c.model,
    checkpoints.c.base_model,
    checkpoints.c.metrics,
)

MODEL_COLUMNS: tuple[Column[Any], ...] = (
    models.c.name,
    models.c.project_id,
    models.c.job_id,
    models.c.base_model,
    models.c.adapter,
    models.c.created_at_us,
    models.c.created_by,
    models.c.created_by_type,
)

ERRAND_COLUMNS: tuple[Column[Any], ...] = (
    errands.c.id,
    errands.c.project_id,
    errands.c.kind,
    errands.c.subject,
    errands.c.notice,
    errands.c.n_attempts,
)
