"""One database with everything that is done to it, sorted by who does it."""

import time
from collections.abc import Callable

from sqlalchemy import Engine, literal, select

from dras_model import __version__
from dras_service.api.queues import JobQueue
from dras_service.store.audit import AuditLog
from dras_service.store.bundles import Bundles
from dras_service.store.database import Database
from dras_service.store.ending import Ending
from dras_service.store.events import Events
from dras_service.store.inventory import Inventory
from dras_service.store.keys import Keys
from dras_service.store.leases import Leases
from dras_service.store.lookup import JobLookup
from dras_service.store.migrating import migrate
from dras_service.store.neighbours import Neighbours
from dras_service.store.numbers import Numbers
from dras_service.store.orphans import Orphans
from dras_service.store.outbox import Outbox
from dras_service.store.submission import Submission
from dras_service.store.sweeping import Sweeping
from dras_service.store.tenants import Tenants
from dras_service.store.webhooks import Webhooks
from dras_service.store.workitems import WorkItemRows


class Store:
    """The parts over one engine. Whatever writes or reads raises StoreUnavailable and StorageFull.

    Every method takes the tenant it works for. Those that work for all say so: `leases` (workers),
    `sweeping`, `orphans` and the lower half of `ending` (the sweeper), `outbox` (the publisher), `bundles`,
    `numbers` and `inventory` (the operator).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.time,
        first_queue: JobQueue = JobQueue.STUDY,
    ) -> None:
        self._database = database = Database(engine, clock=clock)
        self.submission = Submission(database, pipeline_version=__version__, first_queue=first_queue)
        self.jobs = JobLookup(database)
        self.ending = Ending(database)
        self.events = Events(database)
        self.bundles = Bundles(database)
        self.tenants = Tenants(database)
        self.keys = Keys(database)
        self.neighbours = Neighbours(database)
        self.webhooks = Webhooks(database)
        self.workitems = WorkItemRows(database)
        self.audit = AuditLog(database)
        self.numbers = Numbers(database)
        self.inventory = Inventory(database)
        self.leases = Leases(database)
        self.sweeping = Sweeping(database)
        self.outbox = Outbox(database)
        self.orphans = Orphans(database)

    @property
    def has_one_writer(self) -> bool:
        """Whether the database lets one transaction write at a time, whatever its tenant."""
        return self._database.engine.dialect.name == "sqlite"

    def migrate(self) -> None:
        """Bring the tables to this version's form; safe while other processes do the same."""
        migrate(self._database)

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()

    def check(self) -> None:
        """Read one value."""
        with self._database.read() as connection:
            connection.execute(select(literal(1)))
