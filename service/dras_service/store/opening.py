"""The blobs that the settings name: in a folder, or in an object store with copies in that folder."""

from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.cache import Cache
from dras_service.store.objects import ObjectShelf

_MEGABYTE = 1 << 20


def open_blobs(settings: Settings) -> BlobStore:
    """Open the blobs; nothing is asked of an object store yet, for this may be before a fork."""
    folder, blobs = settings.blob_folder, settings.blobs
    if blobs.url is None:
        return BlobStore(folder)
    cache = Cache(folder / "cache", most_bytes=blobs.cache_mb * _MEGABYTE)
    return BlobStore(folder, ObjectShelf(blobs.url, cache, endpoint=blobs.endpoint, region=blobs.region))
