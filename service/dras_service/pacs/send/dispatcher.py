"""Takes deliveries from the outbox and makes them: again with growing pauses, in the end not at all, with a reason.

The objects are files of the result, made by the worker. A PACS knows each by its UID, so that a delivery made twice
changes nothing there. What is sent never comes in again: it is no CT (`receive.storing`).
"""

import logging
import random
from pathlib import Path

from dras_service.errors import CannotServe
from dras_service.pacs.configuration import Configuration, Form, Peer
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.send.dimse import send_by_store
from dras_service.pacs.send.stow import send_by_stow
from dras_service.security.actions import Action, Outcome
from dras_service.settings import WebhookSettings
from dras_service.store.blobs import BlobStore
from dras_service.store.rows import Letter, Outputs
from dras_service.store.store import Store

_log = logging.getLogger(__name__)
_AT_ONCE = 5
_HOLD_S = 600.0  # nobody else sends what a process that died had taken, for as long
FILES: dict[Form, str] = {
    "sr": "dras_sr.dcm",
    "seg": "dras_seg.dcm",
    "map": "dras_map.dcm",
    "report": "dras_report.dcm",
}


class Dispatcher:
    """Sends what is due, by `run_once`."""

    def __init__(
        self, configuration: Configuration, *, store: Store, blobs: BlobStore, settings: WebhookSettings
    ) -> None:
        self._configuration = configuration
        self._outbox = store.outbox
        self._jobs = store.jobs
        self._audit = store.audit
        self._blobs = blobs
        self._settings = settings
        self._stopped = False

    def stop(self) -> None:
        """Begin no delivery after the one that is under way."""
        self._stopped = True

    def run_once(self) -> int:
        """Make the deliveries that are due; return how many were taken. Raises StoreError.

        Those to systems that this configuration does not know are left to a node that does.
        """
        known = tuple(self._configuration.peers)
        letters = self._outbox.take("dicom", hold_s=_HOLD_S, limit=_AT_ONCE, targets=known)
        for letter in letters:
            if self._stopped:
                self._outbox.put_off(letter, delay_s=0.0)
                continue
            self._deliver(letter)
        return len(letters)

    def _deliver(self, letter: Letter) -> None:
        try:
            self._send(letter)
        except PeerFailed as error:
            self._put_off(letter, error)
        except CannotServe as error:
            self._put_off(letter, PeerFailed(str(error)))
        except OSError as error:
            self._put_off(letter, PeerFailed(f"The objects cannot be read ({type(error).__name__})."))
        else:
            _log.info("the objects of job %s are sent to %s", letter.job_id, letter.target)
            self._record(letter, Outcome.SUCCESS)
            self._outbox.sent(letter)

    def _put_off(self, letter: Letter, error: PeerFailed) -> None:
        if not error.may_pass or letter.attempts >= self._settings.max_attempts:
            _log.error("job %s is not sent to %s and given up: %s", letter.job_id, letter.target, error)
            self._record(letter, Outcome.FAILED)
            self._outbox.drop(letter, fault=str(error)[:200])
            return
        pause_s = min(self._settings.first_pause_s * 2 ** (letter.attempts - 1), self._settings.most_pause_s)
        _log.warning("job %s is not sent to %s yet: %s", letter.job_id, letter.target, error)
        # Spread, so that a system that comes back is not met by everything at once.
        self._outbox.put_off(letter, delay_s=pause_s * random.uniform(0.8, 1.2), fault=str(error)[:200])  # noqa: S311

    def _record(self, letter: Letter, outcome: Outcome) -> None:
        """Write the entry before the letter ends: where that fails the letter is due again."""
        actor = f"peer:{letter.target}"
        self._audit.append(
            Action.DICOM_SEND, letter.job_id, tenant=letter.tenant, actor=actor, outcome=outcome
        )

    def _send(self, letter: Letter) -> None:
        peer = self._configuration.peers.get(letter.target or "")
        if peer is None or not peer.is_reachable:
            raise PeerFailed("The configuration knows no way to this system.", may_pass=False)
        outputs = self._jobs.outputs(letter.job_id, tenant=letter.tenant)
        if outputs is None:
            raise PeerFailed("The result was removed before it was sent.", may_pass=False)
        with self._blobs.outputs(outputs.key) as folder:
            files = _files(folder, outputs, self._forms(letter))
            if not files:
                raise PeerFailed("The result has no DICOM objects.", may_pass=False)
            self._send_files(peer, files)

    def _send_files(self, peer: Peer, files: list[Path]) -> None:
        if peer.sends_by == "stow":
            send_by_stow(peer, files)
        else:
            send_by_store(self._configuration.node, peer, files)

    def _forms(self, letter: Letter) -> tuple[Form, ...]:
        """Return what is sent there: what any route that sends there says, in the order of FILES."""
        wanted = {
            form
            for route in self._configuration.routes.values()
            if letter.target in route.send_to
            for form in route.send
        }
        return tuple(form for form in FILES if form in wanted or not wanted)


def _files(folder: Path, outputs: Outputs, forms: tuple[Form, ...]) -> list[Path]:
    there = {file.name for file in outputs.artifacts}
    return [folder / FILES[form] for form in forms if FILES[form] in there]
