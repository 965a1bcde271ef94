"""What runs beside the requests: the publisher, the sweeper, webhooks' courier, and what completes studies."""

from dras_service.gateway.dicomweb.storing import handling
from dras_service.gateway.webhooks.courier import Courier
from dras_service.gathering.completeness import Completer
from dras_service.gathering.room import Room
from dras_service.queue.hints import Hints
from dras_service.queue.periodic import Periodic
from dras_service.queue.publisher import Publisher
from dras_service.queue.sweeper import Sweeper
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import StoreUnavailable
from dras_service.store.store import Store

_LOOK_S = 0.5  # between two looks for complete studies


class Background:
    """Threads that live as long as the application; several gateways may run theirs at once."""

    def __init__(self, *, store: Store, blobs: BlobStore, hints: Hints, settings: Settings) -> None:
        queue = settings.queue
        self._publisher = Periodic(
            "publisher", Publisher(store.outbox, hints.send).run_once, interval_s=queue.publish_interval_s
        )
        sweeper = Sweeper(store=store, blobs=blobs, wake_publisher=self.wake_publisher, settings=settings)
        self._sweeper = Periodic("sweeper", sweeper.run_once, interval_s=queue.sweep_interval_s)
        self._courier = Courier(
            outbox=store.outbox,
            webhooks=store.webhooks,
            settings=settings.gateway.webhooks,
            delivery=settings.delivery,
        )
        self._webhooks = Periodic(
            "webhooks", self._courier.run_once, interval_s=settings.gateway.webhooks.interval_s
        )

        self._store, self._blobs, self._settings = store, blobs, settings
        self._room: Room | None = None
        self._completer: Periodic | None = None

    @property
    def room(self) -> Room:
        """Where studies by DICOMweb wait until they are complete. Raises StoreUnavailable before `start`."""
        if self._room is None:
            raise StoreUnavailable("the gateway has not started")
        return self._room

    def start(self) -> None:
        """Begin."""
        self._room = Room(self._settings.gathering_folder, "dicomweb")
        rules = handling(self._settings.gateway.dicomweb)
        completer = Completer(self._room, lambda _origin: rules, store=self._store, blobs=self._blobs)
        self._completer = Periodic("completer", completer.run_once, interval_s=_LOOK_S)
        for thread in (self._publisher, self._sweeper, self._webhooks, self._completer):
            thread.start()

    def stop(self) -> None:
        """End all, each after what it does just now."""
        self._courier.stop()
        if self._completer is not None:
            self._completer.stop()
        if self._room is not None:
            self._room.close()
        for thread in (self._webhooks, self._sweeper, self._publisher):
            thread.stop()

    def wake_publisher(self) -> None:
        """Have hints sent now."""
        self._publisher.wake()

    def wake_sweeper(self) -> None:
        """Have what was purged removed now."""
        self._sweeper.wake()
