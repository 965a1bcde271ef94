"""One delivery of a result's DICOM objects, whoever keeps count: what goes where, how, and when it is tried again.

A PACS knows each object by its UID, so that a delivery made twice changes nothing there. What is sent never comes
in again: it is no CT (`receive.storing`).
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from dras_service.header import NotDicom
from dras_service.pacs.configuration import Configuration, Form
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.send.dimse import send_by_store
from dras_service.pacs.send.stow import send_by_stow
from dras_service.pauses import pause_s
from dras_service.settings import DeliverySettings

FILES: dict[Form, str] = {
    "sr": "dras_sr.dcm",
    "seg": "dras_seg.dcm",
    "map": "dras_map.dcm",
    "report": "dras_report.dcm",
}


def objects_in(folder: Path, forms: Collection[Form], there: Collection[str]) -> list[Path]:
    """Return the objects of these forms among the names that are there, in the order of FILES.

    Raises PeerFailed where there is none.
    """
    found = [folder / name for form, name in FILES.items() if form in forms and name in there]
    if not found:
        raise PeerFailed("The result has no DICOM objects.", may_pass=False)
    return found


def send_objects(configuration: Configuration, target: str, files: Sequence[Path]) -> None:
    """Send files to a system, by the way it is known by. Raises PeerFailed, CannotServe, OSError."""
    peer = configuration.peers.get(target)
    if peer is None or not peer.is_reachable:
        raise PeerFailed("The configuration knows no way to this system.", may_pass=False)
    if peer.sends_by == "stow":
        send_by_stow(peer, files)
    else:
        send_by_store(configuration.node, peer, files)


def failure_of(error: Exception) -> PeerFailed:
    """Return what went wrong as the failure of a delivery."""
    if isinstance(error, PeerFailed):
        return error
    if isinstance(error, NotDicom):
        return PeerFailed("An object of the result is no DICOM file.", may_pass=False)
    if isinstance(error, OSError):
        return PeerFailed(f"The objects cannot be read ({type(error).__name__}).")
    return PeerFailed(str(error))


def pause_after(error: PeerFailed, *, attempts: int, settings: DeliverySettings) -> float | None:
    """Return how long to wait before a delivery is tried again, None where it is given up."""
    return pause_s(settings, attempts=attempts) if error.may_pass else None
