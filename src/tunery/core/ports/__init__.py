"""The narrow ports through which decisions reach the world: store, blobs, engines, generators."""

from tunery.core.ports.blobs import Blobs, BlobWriter
from tunery.core.ports.clock import Clock
from tunery.core.ports.engines import Catalog, Engine, Generator
from tunery.core.ports.errands import ErrandStore
from tunery.core.ports.files import FileStore
from tunery.core.ports.images import NoticeWords, Painter, PictureReader
from tunery.core.ports.jobs import Idempotency, JobStore
from tunery.core.ports.keys import KeyStore
from tunery.core.ports.runs import Lease, Run, RunStore, Validated, Work
from tunery.core.ports.secrets import Sealer, Signer
from tunery.core.ports.shelves import Shelf, Shelves
from tunery.core.ports.store import Store
from tunery.core.ports.text_to_sql import BuiltSet, Databases, Examiner, TrainingSets

__all__ = [
    "BlobWriter",
    "Blobs",
    "BuiltSet",
    "Catalog",
    "Clock",
    "Databases",
    "Engine",
    "ErrandStore",
    "Examiner",
    "FileStore",
    "Generator",
    "Idempotency",
    "JobStore",
    "KeyStore",
    "Lease",
    "NoticeWords",
    "Painter",
    "PictureReader",
    "Run",
    "RunStore",
    "Sealer",
    "Shelf",
    "Shelves",
    "Signer",
    "Store",
    "TrainingSets",
    "Validated",
    "Work",
]
