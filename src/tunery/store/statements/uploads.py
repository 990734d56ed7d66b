"""Chunked uploads and their parts."""

from sqlalchemy import select, update

from tunery.store.statements.columns import PART_COLUMNS, UPLOAD_COLUMNS
from tunery.store.statements.parts import given, new, value
from tunery.store.statements.query import Query
from tunery.store.tables import upload_parts, uploads

NEW_UPLOAD = Query(new(uploads, UPLOAD_COLUMNS))
_UPLOAD = select(*UPLOAD_COLUMNS).where(given(uploads.c.project_id), given(uploads.c.id))
UPLOAD = Query(_UPLOAD)
LOCK_UPLOAD = Query(_UPLOAD.with_for_update())
NEW_PART = Query(new(upload_parts, (*PART_COLUMNS, upload_parts.c.project_id)))
PARTS = Query(
    select(*PART_COLUMNS)
    .where(given(upload_parts.c.project_id), given(upload_parts.c.upload_id))
    .order_by(upload_parts.c.sequence)
)
END_UPLOAD = Query(
    update(uploads)
    .where(uploads.c.project_id == value("of_project", uploads.c.project_id))
    .where(uploads.c.id == value("upload_id", uploads.c.id))
    .values(status=value("status", uploads.c.status), file_id=value("file_id", uploads.c.file_id))
)
