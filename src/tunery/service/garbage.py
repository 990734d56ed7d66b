"""Bytes that nobody needs any more, and their removal."""

import logging
import threading

from tunery.core.ports import Blobs, FileStore

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
