"""Bytes that nobody needs any more, and their removal."""

import logging
import threading

from tunery.core.ports import Blobs, FileStore, RunStore

logger = logging.getLogger(__name__)


class Garbage:
    """The bytes of deleted and expired files, and the parts of ended uploads."""

    def __init__(self, store: FileStore, blobs: Blobs) -> None:
        """Nothing is collected yet."""
        self._store = store
        self._blobs = blobs
        self._collecting = threading.Lock()

    def collect(self) -> None:
        """Remove what there is; bytes go before the row that names them."""
        with self._collecting:
            for file in self._store.discardable_files():
                self._blobs.delete(file.blob)
                self._store.forget_file(file.id)
            for upload in self._store.expired_uploads():
                self._blobs.delete(f"uploads/{upload.id}")
                self._store.forget_parts(upload.id)

    def try_to_collect(self) -> None:
        """Remove what can be removed, after a request that has succeeded whatever comes of this."""
        try:
            self.collect()
        except OSError:
            logger.exception("cannot remove the bytes of deleted files; trying again later")


class RunFolders:
    """What attempts at jobs left on disk: adapters, checkpoints, and halves of either."""

    def __init__(self, store: RunStore, blobs: Blobs) -> None:
        """Nothing is removed yet."""
        self._store = store
        self._blobs = blobs

    def collect(self) -> None:
        """Tidy after every job that is over."""
        for job_id in self._blobs.names("runs"):
            self.try_to_tidy(job_id)

    def try_to_tidy(self, job_id: str) -> None:
        """As `tidy`; what cannot be removed stays for a later time."""
        try:
            self.tidy(job_id)
        except OSError:
            logger.exception("cannot remove what %s left; trying again later", job_id)

    def tidy(self, job_id: str) -> None:
        """Remove what a job left that nobody can ask for any more; nothing while it is not over."""
        needed = self._store.needed_folders(job_id)
        if needed is None:
            return
        for checkpoint in self._store.retired_checkpoints(job_id):
            self._discard(checkpoint.folder, needed)
            self._store.forget_checkpoint(checkpoint)
        for token in self._blobs.names(f"runs/{job_id}"):
            for name in self._blobs.names(f"runs/{job_id}/{token}"):
                self._discard(f"runs/{job_id}/{token}/{name}", needed)
        if not needed:
            self._blobs.delete(f"runs/{job_id}")

    def _discard(self, key: str, needed: frozenset[str]) -> None:
        if key not in needed:
            self._blobs.delete(key)
