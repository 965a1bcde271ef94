"""The archive of a peer, by whatever it is fetched by. The one door to `retrieve` for everybody outside of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from dras_service.pacs.configuration import Configuration
from dras_service.pacs.retrieve.query import Archive


@contextmanager
def open_archive(configuration: Configuration, name: str) -> Iterator[Archive]:
    """Open the archive of the peer of this name; connections end with the context.

    Raises CannotServe PACS_PEER_UNKNOWN, PACS_NOT_INSTALLED.
    """
    peer = configuration.peer(name)
    if peer.fetches_by == "dicomweb":
        from dras_service.pacs.retrieve.dicomweb import WebArchive  # noqa: PLC0415 - one of two is enough

        web = WebArchive(peer)
        try:
            yield web
        finally:
            web.close()
        return
    from dras_service.pacs.installed import require_pynetdicom  # noqa: PLC0415 - see above

    require_pynetdicom()
    from dras_service.pacs.retrieve.dimse import DimseArchive  # noqa: PLC0415 - see above

    yield DimseArchive(configuration.node, peer)
