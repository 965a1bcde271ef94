"""Objects by C-STORE: one association, one context an object in the syntax it is written in (PS3.4 B)."""

from collections.abc import Sequence
from pathlib import Path

from pynetdicom.presentation import build_context

from dras_service.header import SOP_CLASS, read_header
from dras_service.pacs.configuration import Node, Peer
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.requesting import association

_WARNINGS = (0xB000, 0xB006, 0xB007)  # it is kept all the same (B.2.3)
_FULL = 0xA7


def send_by_store(node: Node, peer: Peer, files: Sequence[Path]) -> None:
    """Send files, in order. Raises PeerFailed where one is not taken; those before it were; NotDicom."""
    headers = [read_header(path) for path in files]
    kinds = dict.fromkeys((header[SOP_CLASS], header.transfer_syntax) for header in headers)
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in kinds]
    with association(node, peer, contexts) as link:
        offered = {str(context.abstract_syntax) for context in link.accepted_contexts}
        if refused := [header for header in headers if header[SOP_CLASS] not in offered]:
            raise PeerFailed(f"The system takes {len(refused)} of the objects' kinds not.", may_pass=False)
        for path in files:
            try:
                answer = link.send_c_store(path)
            except (RuntimeError, ValueError) as error:
                raise PeerFailed(f"The association broke off ({type(error).__name__}).") from error
            if "Status" not in answer:
                raise PeerFailed("The system does not answer any more.")
            status = int(answer.Status)
            if status != 0 and status not in _WARNINGS:
                passing = status >> 8 == _FULL or status >> 12 == 0xC
                raise PeerFailed(f"The system answered with status 0x{status:04X}.", may_pass=passing)
