"""Files that no row speaks of, because a process died between keeping them and saying so.

Used by the sweeper only, and looks at every tenant. It is told what lies there, and says what is nobody's.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import select

from dras_service.api.jobs import RUNNING, TERMINAL
from dras_service.store.database import Database
from dras_service.store.schema import job, result, study

_BLOCK = 500


class Orphans:
    """Compares keys with rows. Raises StoreUnavailable from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys of studies that are not known, or are known as purged."""
        for block in _blocks(keys):
            with self._database.read() as connection:
                known = set(
                    connection.execute(
                        select(study.c.key).where(study.c.key.in_(block), study.c.purged_at.is_(None))
                    ).scalars()
                )
            yield from (key for key in block if key not in known)

    def outputs(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys of outputs that no result has and no worker is about to commit."""
        for block in _blocks(keys):
            jobs = {key: key.rpartition("-")[0] for key in block}
            with self._database.read() as connection:
                # In this order: what is committed in between still counts as running, and is left alone.
                running = set(
                    connection.execute(
                        select(job.c.id).where(job.c.id.in_(jobs.values()), job.c.state.in_(RUNNING))
                    ).scalars()
                )
                known = set(
                    connection.execute(
                        select(result.c.outputs_key).where(result.c.outputs_key.in_(block))
                    ).scalars()
                )
            yield from (key for key in block if key not in known and jobs[key] not in running)

    def drafts(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys of drafts that no job is to go on from and no worker is about to hand over."""
        for block in _blocks(keys):
            jobs = {key: key.rpartition("-")[0] for key in block}
            with self._database.read() as connection:
                rows = connection.execute(
                    select(job.c.id, job.c.state, job.c.draft_key).where(
                        job.c.id.in_(jobs.values()), job.c.state.not_in(TERMINAL)
                    )
                ).all()
            working = {row.id for row in rows if row.state in RUNNING}
            known = {row.draft_key for row in rows}
            yield from (key for key in block if key not in known and jobs[key] not in working)


def _blocks(keys: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Cut into blocks; `itertools.batched` is of Python 3.12."""
    rest = iter(keys)
    while block := tuple(islice(rest, _BLOCK)):
        yield block
