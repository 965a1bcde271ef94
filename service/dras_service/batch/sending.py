"""Results of a batch on their way back to a PACS, one at a time beside the computing.

The thread that sends writes nothing: the batch's own one asks how a delivery went and writes it into the ledger.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Protocol

from dras_service.batch.deliveries import Deliveries, Delivery
from dras_service.batch.job import Send
from dras_service.batch.ledger import Ledger
from dras_service.errors import CannotServe
from dras_service.header import SOP_INSTANCE, NotDicom, read_header
from dras_service.pacs.configuration import read_configuration
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.installed import require_pynetdicom
from dras_service.settings import DeliverySettings

_TICK_S = 0.2
_MOST_FAULT = 200  # characters


class Sending(Protocol):
    """What the batch asks of whoever sends."""

    def done(self, case_id: int) -> None:
        """Hear that a case has a result."""

    def look(self) -> None:
        """Write down what was sent, and begin what is due."""

    def finish(self, stopped: "Stopped") -> None:
        """Send what is left, with patience."""


class Stopped(Protocol):
    """Whether the batch is to end."""

    def is_set(self) -> bool:
        """Whether it is."""


class Sender:
    """Sends the objects of results as they come. Raises CannotServe where pacs.toml does not know a target."""

    def __init__(self, send: Send, ledger: Ledger, results: Path, *, again: bool = False) -> None:
        check_targets(send)
        from dras_service.pacs.send import delivery  # noqa: PLC0415 - pynetdicom, which few batches need

        self._way = delivery
        self._send = send
        self._configuration = read_configuration(send.config)
        self._deliveries = Deliveries(ledger)
        self._results = results
        self._settings = DeliverySettings()
        self._thread = ThreadPoolExecutor(1)
        self._under_way: tuple[Delivery, Future[None]] | None = None
        self._failing_since: float | None = None
        self._deliveries.plan(send.to, again=again)

    def __enter__(self) -> "Sender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()  # what is under way ends by its own timeouts
        self._settle()

    def done(self, case_id: int) -> None:
        """Have a new result sent."""
        self._deliveries.plan(self._send.to, case_id=case_id)

    def look(self) -> None:
        """Write down what was sent, and begin the next delivery that is due."""
        if not self._settle():
            return
        due = self._deliveries.next_due(self._send.to)
        if due is not None:
            self._begin(due)

    def finish(self, stopped: Stopped) -> None:
        """Send what is left; a system that is away is waited for as long as the batch file says."""
        if self._failing_since is not None:
            self._failing_since = time.monotonic()
        while self._deliveries.waits(self._send.to) and not (stopped.is_set() or self._is_out_of_patience()):
            self.look()
            time.sleep(_TICK_S)

    def _begin(self, delivery: Delivery) -> None:
        try:
            folder = self._results / delivery.name
            there = {path.name for path in folder.iterdir()}
            files = self._way.objects_in(folder, self._send.what, there)
            self._deliveries.begin(delivery, [read_header(path)[SOP_INSTANCE] for path in files])
        except (PeerFailed, NotDicom, OSError) as error:
            self._fail(delivery, error)
            return
        sent = self._thread.submit(self._way.send_objects, self._configuration, delivery.target, files)
        self._under_way = (delivery, sent)

    def _settle(self) -> bool:
        """Write down how the delivery under way went; False where it still is."""
        if self._under_way is None:
            return True
        delivery, future = self._under_way
        if not future.done():
            return False
        self._under_way = None
        try:
            future.result()
        except (PeerFailed, CannotServe, OSError) as error:
            self._fail(delivery, error)
        else:
            self._deliveries.sent(delivery)
            self._failing_since = None
        return True

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        failure = self._way.failure_of(error)
        pause_s = self._way.pause_after(failure, attempts=delivery.attempts + 1, settings=self._settings)
        self._deliveries.failed(delivery, fault=str(failure)[:_MOST_FAULT], pause_s=pause_s)
        if failure.may_pass:
            self._failing_since = self._failing_since or time.monotonic()

    def _is_out_of_patience(self) -> bool:
        since = self._failing_since
        return since is not None and time.monotonic() - since > self._send.patience_s


class NothingToSend:
    """Stands where a batch sends nothing."""

    def __enter__(self) -> "NothingToSend":
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def done(self, case_id: int) -> None:
        """Do nothing."""

    def look(self) -> None:
        """Do nothing."""

    def finish(self, stopped: Stopped) -> None:
        """Do nothing."""


def check_targets(send: Send) -> None:
    """Check that every system can be called. Raises CannotServe."""
    require_pynetdicom()
    configuration = read_configuration(send.config)
    for target in send.to:
        configuration.peer(target)
