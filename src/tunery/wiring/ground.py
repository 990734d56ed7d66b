"""What every use case stands on: where things are kept and found, the time, and secrets."""

import pkgutil
from dataclasses import dataclass
from datetime import UTC, datetime

from tunery.addresses import Addresses
from tunery.bases.catalog import FolderCatalog, hugging_face_cache
from tunery.blobs.folder import FolderBlobs
from tunery.core.ports import Blobs, Catalog, Clock, Databases, Sealer, Store
from tunery.databases.customers import CustomerDatabases
from tunery.sealing import AesSealer
from tunery.settings import Settings
from tunery.store.sqlite import open_store as open_sqlite


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What is built before all else, as the settings say.

    Attributes:
        reads_in_place: whether a read of the store is so short that a request does it itself.
    """

    settings: Settings
    store: Store
    reads_in_place: bool
    blobs: Blobs
    catalog: Catalog
    clock: Clock
    sealer: Sealer
    addresses: Addresses
    databases: Databases


def lay_ground(settings: Settings) -> Ground:
    """Make the home folder where it is not there, and bring the database up to date."""
    sealer = AesSealer(settings.home, settings.secret_key)
    addresses = Addresses(settings.allow_hosts)
    databases = CustomerDatabases(addresses, settings.sqlite_folder)
    # The data of whoever trains here is in it: other users of this machine have no business there.
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    return Ground(
        settings=settings,
        store=_open_store(settings, clock),
        reads_in_place=settings.database_url is None,
        blobs=FolderBlobs(settings.home / "blobs"),
        catalog=FolderCatalog(
            folders=settings.models,
            aliases=settings.aliases,
            cache=hugging_face_cache(),
            quantized=settings.quantize,
        ),
        clock=clock,
        sealer=sealer,
        addresses=addresses,
        databases=databases,
    )


def _open_store(settings: Settings, clock: Clock) -> Store:
    if settings.database_url is None:
        return open_sqlite(settings.home / "tunery.db", clock)
    # Imported where it is chosen: its driver costs as much start-up time as all the rest.
    open_postgres = pkgutil.resolve_name("tunery.store.postgres:open_store")
    store: Store = open_postgres(settings.database_url, clock)
    return store
