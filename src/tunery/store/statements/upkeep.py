"""Housekeeping: what may be thrown away, across all projects."""

from sqlalchemy import delete, exists, or_, select, union_all, update

from tunery.store.statements.columns import FILE_COLUMNS, UPLOAD_COLUMNS
from tunery.store.statements.parts import given, number, value
from tunery.store.statements.query import Query
from tunery.store.tables import (
    DRAWN_OR_FAILED,
    checkpoints,
    files,
    idempotency,
    image_generations,
    jobs,
    models,
    upload_parts,
    uploads,
)

_IN_USE = exists().where(
    jobs.c.finished_at_us.is_(None),
    jobs.c.project_id == files.c.project_id,
    or_(jobs.c.training_file == files.c.id, jobs.c.validation_file == files.c.id),
)
_DISCARDABLE = (
    or_(files.c.deleted_at_us.is_not(None), files.c.expires_at_us <= number("now_us")),
    ~_IN_USE,
)
DISCARDABLE_FILES = Query(select(*FILE_COLUMNS).where(*_DISCARDABLE).order_by(files.c.sequence))
FORGET_FILE = Query(delete(files).where(given(files.c.id), *_DISCARDABLE))

_OVERDUE = (
    uploads.c.status == value("pending", uploads.c.status),
    uploads.c.expires_at_us <= number("now_us"),
)
EXPIRED_UPLOADS = Query(
    select(*UPLOAD_COLUMNS)
    .where(or_(uploads.c.status != value("pending", uploads.c.status), _OVERDUE[1]))
    .where(exists().where(upload_parts.c.upload_id == uploads.c.id))
    .order_by(uploads.c.sequence)
)
EXPIRE_UPLOAD = Query(
    update(uploads)
    .where(uploads.c.id == value("upload_id", uploads.c.id), *_OVERDUE)
    .values(status=value("expired", uploads.c.status))
)
FORGET_PARTS = Query(
    delete(upload_parts).where(
        given(upload_parts.c.upload_id),
        exists().where(
            uploads.c.id == upload_parts.c.upload_id,
            uploads.c.status != value("pending", uploads.c.status),
        ),
    )
)

FORGET_OLD_ANSWERS = Query(
    delete(idempotency).where(idempotency.c.created_at_us <= number("a_day_ago_us"))
)

JOB_END = Query(select(jobs.c.finished_at_us).where(given(jobs.c.id)))
NEEDED_FOLDERS = Query(
    union_all(
        select(checkpoints.c.folder).where(
            given(checkpoints.c.job_id), checkpoints.c.retired_at_us.is_(None)
        ),
        select(models.c.adapter).where(given(models.c.job_id)),
        select(jobs.c.initial_adapter).where(
            jobs.c.finished_at_us.is_(None),
            jobs.c.initial_adapter.like(value("of_job", jobs.c.initial_adapter)),
        ),
    )
)

FORGET_CHECKPOINT = Query(
    delete(checkpoints).where(given(checkpoints.c.id), checkpoints.c.retired_at_us.is_not(None))
)

IMAGES_BEFORE = Query(
    select(image_generations.c.value)
    .where(image_generations.c.created_at_us < number("before_us"), DRAWN_OR_FAILED)
    .order_by(image_generations.c.created_at_us, image_generations.c.sequence)
    .limit(number("count"))
)
FORGET_IMAGE = Query(
    delete(image_generations).where(given(image_generations.c.id), DRAWN_OR_FAILED)
)
