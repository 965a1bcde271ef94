"""Which model bundles a job may choose: what the last worker to start has proven. The same for every tenant."""

from sqlalchemy import delete, insert, select

from dras_service.api.bundles import BundleView
from dras_service.store.database import EVERYBODY, Database
from dras_service.store.schema import bundle


class Bundles:
    """Reads and writes the offer. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def offered(self) -> tuple[BundleView, ...]:
        """Return the bundles that the workers have proven, in their order; none before the first has started."""
        with self._database.read() as connection:
            documents = connection.execute(select(bundle.c.document).order_by(bundle.c.place)).scalars().all()
        return tuple(BundleView.model_validate_json(document) for document in documents)

    def offer(self, proven: tuple[BundleView, ...]) -> None:
        """Write which bundles a job may choose, in the place of those offered before."""
        now = self._database.now()
        rows = [
            {"name": view.name, "place": place, "document": view.model_dump_json(), "proven_at": now}
            for place, view in enumerate(proven)
        ]
        with self._database.write("offer_bundles", tenant=EVERYBODY) as connection:
            connection.execute(delete(bundle))
            if rows:
                connection.execute(insert(bundle), rows)
