"""Letters to be sent: written in the transaction of what they tell of, taken from here, sent at least once.

Used by the publisher and by whatever calls webhooks, for every tenant. A letter that is taken is due again
after a while, unless its taker says how it went: a publisher that dies loses none.
"""

from collections.abc import Collection

from sqlalchemy import ColumnElement, select, update

from dras_service.store.database import EVERYBODY, Database
from dras_service.store.rows import Delivery, Letter
from dras_service.store.schema import job, outbox

_COLUMNS = [outbox.c[name] for name in Letter.__dataclass_fields__]


class Outbox:
    """Hands letters out. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self, topic: str, *, hold_s: float, limit: int = 100, targets: Collection[str] | None = None
    ) -> tuple[Letter, ...]:
        """Take due letters of a topic, the longest due first; nobody else gets them for `hold_s`.

        With `targets` only letters to one of them: others are left to whoever knows the way.
        """
        if not self.waits(topic, targets=targets):  # most looks find nothing, and must not wait for a lock
            return ()
        now = self._database.now()
        chosen = (
            select(outbox.c.id)
            .where(*_due(topic, targets, now))
            .order_by(outbox.c.not_before, outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._database.write("take_outbox", tenant=EVERYBODY) as connection:
            rows = connection.execute(
                update(outbox)
                .where(outbox.c.id.in_(chosen))
                .values(attempts=outbox.c.attempts + 1, not_before=now + hold_s)
                .returning(*_COLUMNS)
            ).all()
        return tuple(sorted((Letter(*row) for row in rows), key=lambda letter: letter.id))

    def waits(self, topic: str, *, targets: Collection[str] | None = None) -> bool:
        """Whether a letter of the topic is due, to one of `targets` where they are given."""
        due = _due(topic, targets, self._database.now())
        with self._database.read() as connection:
            return connection.execute(select(outbox.c.id).where(*due).limit(1)).first() is not None

    def sent(self, *letters: Letter) -> None:
        """Note that letters were sent; of hints, their jobs learn of it too."""
        now = self._database.now()
        with self._database.write("end_outbox", tenant=EVERYBODY) as connection:
            ids = [letter.id for letter in letters]
            connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(done_at=now, fault=None))
            hinted = [letter.job_id for letter in letters if letter.topic == "hint"]
            if hinted:
                connection.execute(
                    update(job).where(job.c.id.in_(hinted)).values(hints=job.c.hints + 1, hinted_at=now)
                )

    def drop(self, *letters: Letter, fault: str | None = None) -> None:
        """Give letters up: they will not be sent, `fault` says why."""
        with self._database.write("end_outbox", tenant=EVERYBODY) as connection:
            ids = [letter.id for letter in letters]
            connection.execute(
                update(outbox).where(outbox.c.id.in_(ids)).values(done_at=self._database.now(), fault=fault)
            )

    def put_off(self, *letters: Letter, delay_s: float, fault: str | None = None) -> None:
        """Make letters due again after `delay_s`; `fault` says what went wrong."""
        with self._database.write("put_off_outbox", tenant=EVERYBODY) as connection:
            ids = [letter.id for letter in letters]
            connection.execute(
                update(outbox)
                .where(outbox.c.id.in_(ids), outbox.c.done_at.is_(None))
                .values(not_before=self._database.now() + delay_s, fault=fault)
            )

    # What operators see of objects that go to other systems.

    def deliveries(self, *, limit: int = 100) -> tuple[Delivery, ...]:
        """Return the latest deliveries of DICOM objects, newest first, of every tenant."""
        columns = [outbox.c[name] for name in Delivery.__dataclass_fields__]
        with self._database.read() as connection:
            rows = connection.execute(
                select(*columns).where(outbox.c.topic == "dicom").order_by(outbox.c.id.desc()).limit(limit)
            ).all()
        return tuple(Delivery(*row) for row in rows)

    def resend(self, delivery_id: int) -> bool:
        """Make a delivery due again, whether it was sent, given up or waits; False where there is none."""
        with self._database.write("put_off_outbox", tenant=EVERYBODY) as connection:
            changed = connection.execute(
                update(outbox)
                .where(outbox.c.id == delivery_id, outbox.c.topic == "dicom")
                .values(done_at=None, attempts=0, fault=None, not_before=self._database.now())
            )
            return changed.rowcount == 1


def _due(topic: str, targets: Collection[str] | None, now: float) -> tuple[ColumnElement[bool], ...]:
    due = (outbox.c.topic == topic, outbox.c.done_at.is_(None), outbox.c.not_before <= now)
    return due if targets is None else (*due, outbox.c.target.in_(targets))
