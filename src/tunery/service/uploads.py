"""Chunked uploads: a file that arrives in parts, in any order and at the same time."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from tunery.core.access import Caller
from tunery.core.errors import InvalidTransition, InvalidValue, TooLarge
from tunery.core.files import File, Upload, UploadPart, UploadStatus
from tunery.core.ids import new_id
from tunery.core.ports import Blobs, Clock, FileStore
from tunery.service.garbage import Garbage
from tunery.service.intake import TRAINING, FileRequest, Intake

UPLOAD_TTL_S = 3_600
MOST_PART_BYTES = 64 * 1024**2


class PartIntake:
    """Takes one part. Its methods block; whoever has one finishes or discards it."""

    def __init__(
        self,
        blobs: Blobs,
        clock: Clock,
        *,
        upload_id: str,
        max_bytes: int,
        record: Callable[[UploadPart], None],
    ) -> None:
        """Begin; `record` keeps the part once its bytes are durable."""
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._record = record
        self._part = UploadPart(
            id=new_id("part_"), upload_id=upload_id, created_at=clock.now(), size_bytes=0
        )
        self._size_bytes = 0
        self._writer = blobs.writer(self._part.blob)

    def write(self, block: bytes) -> None:
        """Append `block`.

        Raises:
            TooLarge: the part is above the limit.
            OutOfSpace: the disk is full.
        """
        self._size_bytes += len(block)
        if self._size_bytes > self._max_bytes:
            raise TooLarge(
                f"The part is larger than {self._max_bytes} bytes; send smaller ones.",
                param="data",
            )
        self._writer.write(block)

    def finish(self) -> UploadPart:
        """Keep the part, durably."""
        part = replace(self._part, size_bytes=self._size_bytes)
        self._writer.commit()
        try:
            self._record(part)
        except BaseException:
            self._blobs.delete(part.blob)
            raise
        return part

    def discard(self) -> None:
        """Leave nothing behind. After `finish` it does nothing."""
        self._writer.discard()


class Uploads:
    """The use cases of chunked uploads. Every one names the caller's project."""

    def __init__(
        self,
        store: FileStore,
        blobs: Blobs,
        clock: Clock,
        garbage: Garbage,
        *,
        max_file_bytes: int,
        ttl_s: int,
        max_part_bytes: int,
    ) -> None:
        """An upload that is not complete after `ttl_s` expires."""
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._garbage = garbage
        self._max_file_bytes = max_file_bytes
        self._ttl = timedelta(seconds=ttl_s)
        self._max_part_bytes = max_part_bytes

    def create(
        self, caller: Caller, request: FileRequest, *, mime_type: str, size_bytes: int
    ) -> Upload:
        """Begin an upload of `size_bytes` in all.

        Raises:
            InvalidValue: the size is below 1.
            TooLarge: it is above the limit of a file.
        """
        if size_bytes < 1:
            raise InvalidValue(f"bytes is {size_bytes}; it must be at least 1", param="bytes")
        if size_bytes > self._max_file_bytes:
            raise TooLarge(
                f"bytes is {size_bytes}; this server takes files of up to {self._max_file_bytes}.",
                param="bytes",
            )
        now = self._clock.now()
        upload = Upload(
            id=new_id("upload_"),
            project_id=caller.project_id,
            created_at=now,
            expires_at=now + self._ttl,
            filename=request.filename,
            mime_type=mime_type,
            purpose=request.purpose,
            size_bytes=size_bytes,
            file_expires_after_s=request.expires_after_s,
        )
        self._store.add_upload(upload)
        return upload

    def begin_part(self, caller: Caller, upload_id: str) -> PartIntake:
        """Take in one part of a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """
        upload = self._pending(caller, upload_id)

        def record(part: UploadPart) -> None:
            self._store.add_part(caller.project_id, part)

        return PartIntake(
            self._blobs,
            self._clock,
            upload_id=upload.id,
            max_bytes=min(self._max_part_bytes, upload.size_bytes),
            record=record,
        )

    def complete(
        self,
        caller: Caller,
        upload_id: str,
        part_ids: Sequence[str],
        *,
        md5: str | None = None,
        echo: Mapping[str, object] | None = None,
    ) -> tuple[Upload, File]:
        """Make a file of the parts, in the order of `part_ids`; `echo` rides along with it.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
            InvalidValue: parts are unknown, or their bytes are not those that were announced.
            InvalidFile: it is to be trained on and cannot be.
        """
        upload = self._pending(caller, upload_id)
        parts = self._chosen(upload, part_ids)

        def record(file: File) -> None:
            self._store.end_upload(caller.project_id, upload_id, UploadStatus.COMPLETED, file)

        intake = Intake(
            self._blobs,
            self._clock,
            caller=caller,
            max_bytes=self._max_file_bytes,
            is_checked=upload.purpose == TRAINING,
            record=record,
        )
        try:
            self._join(parts, intake, md5)
            file = intake.finish(
                FileRequest(
                    filename=upload.filename,
                    purpose=upload.purpose,
                    expires_after_s=upload.file_expires_after_s,
                    echo=echo or {},
                )
            )
        finally:
            intake.discard()
        self._garbage.try_to_collect()
        return self._store.upload(caller.project_id, upload_id), file

    def cancel(self, caller: Caller, upload_id: str) -> Upload:
        """End a pending upload; its parts are removed.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """
        upload = self._store.end_upload(caller.project_id, upload_id, UploadStatus.CANCELLED)
        self._garbage.try_to_collect()
        return upload

    def _pending(self, caller: Caller, upload_id: str) -> Upload:
        upload = self._store.upload(caller.project_id, upload_id)
        if upload.status is not UploadStatus.PENDING:
            raise InvalidTransition(f"Upload {upload_id} is {upload.status}, no longer pending.")
        return upload

    def _chosen(self, upload: Upload, part_ids: Sequence[str]) -> Sequence[UploadPart]:
        known = {part.id: part for part in self._store.parts(upload.project_id, upload.id)}
        unknown = [part_id for part_id in part_ids if part_id not in known]
        if unknown:
            raise InvalidValue(
                f"part_ids names {unknown[0][:80]!r}, which is no part of this upload",
                param="part_ids",
            )
        if len(set(part_ids)) < len(part_ids):
            raise InvalidValue("part_ids names a part twice", param="part_ids")
        parts = [known[part_id] for part_id in part_ids]
        total = sum(part.size_bytes for part in parts)
        if total != upload.size_bytes:
            raise InvalidValue(
                f"the parts have {total} bytes in all; the upload was announced with "
                f"{upload.size_bytes}",
                param="part_ids",
            )
        return parts

    def _join(self, parts: Sequence[UploadPart], intake: Intake, md5: str | None) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces(parts):
            if md5 is not None:
                digest.update(piece)
            intake.write(piece)
        if md5 is not None and digest.hexdigest() != md5.lower():
            raise InvalidValue(
                f"md5 is {md5[:80]!r}, but the bytes that came have {digest.hexdigest()!r}",
                param="md5",
            )

    def _pieces(self, parts: Sequence[UploadPart]) -> Iterator[bytes]:
        for part in parts:
            try:
                yield from self._blobs.read(part.blob)
            except FileNotFoundError as error:
                # Another request ended the upload meanwhile, and its parts were collected.
                raise InvalidTransition(f"Upload {part.upload_id} is no longer pending.") from error
