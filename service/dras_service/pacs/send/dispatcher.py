"""Takes deliveries from the outbox and makes them: again with growing pauses, at last not at all, with a reason."""

import logging

from dras_service.errors import CannotServe
from dras_service.header import NotDicom
from dras_service.pacs.configuration import Configuration, Form
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.send.delivery import FILES, failure_of, objects_in, pause_after, send_objects
from dras_service.security.actions import Action, Outcome
from dras_service.settings import DeliverySettings
from dras_service.store.blobs import BlobStore
from dras_service.store.rows import Letter
from dras_service.store.store import Store

_log = logging.getLogger(__name__)
_AT_ONCE = 5
_HOLD_S = 600.0  # nobody else sends what a process that died had taken, for as long


class Dispatcher:
    """Sends what is due, by `run_once`."""

    def __init__(
        self, configuration: Configuration, *, store: Store, blobs: BlobStore, settings: DeliverySettings
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
        except (PeerFailed, CannotServe, NotDicom, OSError) as error:
            self._put_off(letter, failure_of(error))
        else:
            _log.info("the objects of job %s are sent to %s", letter.job_id, letter.target)
            self._record(letter, Outcome.SUCCESS)
            self._outbox.sent(letter)

    def _put_off(self, letter: Letter, error: PeerFailed) -> None:
        delay_s = pause_after(error, attempts=letter.attempts, settings=self._settings)
        if delay_s is None:
            _log.error("job %s is not sent to %s and given up: %s", letter.job_id, letter.target, error)
            self._record(letter, Outcome.FAILED)
            self._outbox.drop(letter, fault=str(error)[:200])
            return
        _log.warning("job %s is not sent to %s yet: %s", letter.job_id, letter.target, error)
        self._outbox.put_off(letter, delay_s=delay_s, fault=str(error)[:200])

    def _record(self, letter: Letter, outcome: Outcome) -> None:
        """Write the entry before the letter ends: where that fails the letter is due again."""
        actor = f"peer:{letter.target}"
        self._audit.append(
            Action.DICOM_SEND, letter.job_id, tenant=letter.tenant, actor=actor, outcome=outcome
        )

    def _send(self, letter: Letter) -> None:
        outputs = self._jobs.outputs(letter.job_id, tenant=letter.tenant)
        if outputs is None:
            raise PeerFailed("The result was removed before it was sent.", may_pass=False)
        there = {file.name for file in outputs.artifacts}
        with self._blobs.outputs(outputs.key) as folder:
            files = objects_in(folder, self._forms(letter), there)
            send_objects(self._configuration, letter.target or "", files)

    def _forms(self, letter: Letter) -> tuple[Form, ...]:
        """Return what is sent there: what any route that sends there says, in the order of FILES."""
        wanted = {
            form
            for route in self._configuration.routes.values()
            if letter.target in route.send_to
            for form in route.send
        }
        return tuple(form for form in FILES if form in wanted or not wanted)
