"""What runs beside the requests: the publisher of hints, the sweeper, and the courier of webhooks."""

from dras_service.gateway.webhooks.courier import Courier
from dras_service.queue.hints import Hints
from dras_service.queue.periodic import Periodic
from dras_service.queue.publisher import Publisher
from dras_service.queue.sweeper import Sweeper
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.store import Store


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
            outbox=store.outbox, webhooks=store.webhooks, settings=settings.gateway.webhooks
        )
        self._webhooks = Periodic(
            "webhooks", self._courier.run_once, interval_s=settings.gateway.webhooks.interval_s
        )

    def start(self) -> None:
        """Begin."""
        for thread in (self._publisher, self._sweeper, self._webhooks):
            thread.start()

    def stop(self) -> None:
        """End all, each after what it does just now."""
        self._courier.stop()
        for thread in (self._webhooks, self._sweeper, self._publisher):
            thread.stop()

    def wake_publisher(self) -> None:
        """Have hints sent now."""
        self._publisher.wake()

    def wake_sweeper(self) -> None:
        """Have what was purged removed now."""
        self._sweeper.wake()
