"""Database and blobs as the settings name them, opened where a process starts.

What is wrong with them is said in one sentence that names the setting and the cure. Leaves out everything that
`dras doctor` looks at beside: whether they are durable, have room, and keep the time.
"""

from sqlalchemy.exc import ArgumentError

from dras_service.errors import CannotServe
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.cache import Cache
from dras_service.store.engine import open_engine
from dras_service.store.errors import SchemaUnknown, StoreError
from dras_service.store.objects import ObjectShelf
from dras_service.store.store import Store

_MEGABYTE = 1 << 20


def open_store(settings: Settings) -> Store:
    """Open the database and bring it to this version's form. Raises CannotServe.

    Its codes are STORE_UNSUPPORTED, STORE_UNAVAILABLE and STORE_NEWER.
    """
    try:
        engine = open_engine(settings.store_url, busy_timeout_s=settings.store.busy_timeout_s)
    except ArgumentError as error:
        raise CannotServe(
            "STORE_UNSUPPORTED",
            "DRAS_STORE__URL is no address of a database; write postgresql+psycopg://user:password@host/name.",
        ) from error
    except ImportError as error:
        raise CannotServe(
            "STORE_UNSUPPORTED",
            "The database of DRAS_STORE__URL needs a driver; pip install 'dras[cluster]' has PostgreSQL's.",
        ) from error
    except OSError as error:
        raise _unavailable() from error
    store = Store(engine, first_queue=settings.first_queue)
    try:
        store.migrate()
    except SchemaUnknown as error:
        store.close()
        raise CannotServe(
            "STORE_NEWER",
            "The database of DRAS_STORE__URL was brought to the form of a later version of dras; run that version,"
            " or restore the backup made before it.",
        ) from error
    except StoreError as error:
        store.close()
        raise _unavailable() from error
    return store


def open_blobs(settings: Settings) -> BlobStore:
    """Open the blobs; nothing is asked of an object store yet, for this may be before a fork."""
    folder, blobs = settings.blob_folder, settings.blobs
    if blobs.url is None:
        return BlobStore(folder)
    cache = Cache(folder / "cache", most_bytes=blobs.cache_mb * _MEGABYTE)
    return BlobStore(folder, ObjectShelf(blobs.url, cache, endpoint=blobs.endpoint, region=blobs.region))


def check_blobs(settings: Settings) -> None:
    """Write to the blobs and remove it again; never before a fork. Raises CannotServe: BLOBS_UNAVAILABLE."""
    try:
        blobs = open_blobs(settings)
        blobs.prepare()
        blobs.check()
    except ImportError as error:
        raise CannotServe(
            "BLOBS_UNAVAILABLE",
            "The bucket of DRAS_BLOBS__URL needs a client; pip install 'dras[s3]' has it.",
        ) from error
    except (StoreError, OSError) as error:
        place = "folder of DRAS_BLOBS__FOLDER"
        if settings.blobs.url is not None:
            place = "bucket of DRAS_BLOBS__URL"
        raise CannotServe(
            "BLOBS_UNAVAILABLE",
            f"The {place} cannot be written; check that it is there, and for a bucket DRAS_BLOBS__ENDPOINT,"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ) from error


def _unavailable() -> CannotServe:
    return CannotServe(
        "STORE_UNAVAILABLE",
        "The database of DRAS_STORE__URL does not answer or cannot be written; start it or correct the setting,"
        " `dras doctor` says more.",
    )
