"""Associations that we ask a peer for. Leaves out what is said on them: `retrieve.dimse`, `send.dimse`."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dras_service.pacs.configuration import Node, Peer
from dras_service.pacs.failures import PeerFailed

Handlers = list[
    tuple[evt.EventType, Callable[..., Any]] | tuple[evt.EventType, Callable[..., Any], list[Any]]
]


@contextmanager
def association(
    node: Node,
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[Any] = (),
    handlers: Handlers | None = None,
) -> Iterator[Association]:
    """Open an association; it is released at the end, aborted after an error. Raises PeerFailed."""
    if peer.host is None or peer.port is None:
        raise PeerFailed("It is not known where this system takes DIMSE.", may_pass=False)
    entity = AE(node.ae_title)
    entity.maximum_pdu_size = node.max_pdu_bytes
    entity.connection_timeout = entity.acse_timeout = peer.timeout_s
    entity.dimse_timeout = entity.network_timeout = peer.timeout_s
    tls = (_client_context(node, peer), peer.host) if peer.tls else None
    try:
        link = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.ae_title,
            max_pdu=node.max_pdu_bytes,
            ext_neg=list(roles),
            tls_args=tls,
            evt_handlers=list(handlers or ()),
        )
    except (OSError, RuntimeError) as error:
        raise PeerFailed(f"The system cannot be reached ({type(error).__name__}).") from error
    if not link.is_established:
        what = "refuses us" if link.is_rejected else "cannot be reached"
        raise PeerFailed(f"The system {what} as {node.ae_title}.")
    try:
        yield link
    except BaseException:
        if link.is_established:
            link.abort()
        raise
    if link.is_established:
        link.release()


def _client_context(node: Node, peer: Peer) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=peer.authorities)
    if node.tls is not None:
        context.load_cert_chain(node.tls.certificate, node.tls.key)
    return context
