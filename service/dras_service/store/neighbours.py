"""Which results of a tenant are alike, by the cosine of their mean embeddings.

A few kilobytes a study, written with the result and gone with it. They are compared one by one in this process,
without numpy, which the gateway does not load (decision 0046). Leaves out how they are made (`worker.embeddings`).
"""

import heapq
from array import array
from collections.abc import Iterable, Iterator
from operator import mul
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Row, select

from dras_service.store.database import Database
from dras_service.store.rows import Nearest, Neighbour
from dras_service.store.schema import embedding, job

MOST_COMPARED = 20_000
_BLOCK = 500
_OF_JOB = embedding.c.job_id == job.c.id
_OWN = (embedding.c.space, embedding.c.n_patches, embedding.c.vector, job.c.study_key)
_OTHER = (
    embedding.c.job_id,
    embedding.c.region,
    embedding.c.n_patches,
    embedding.c.vector,
    job.c.study_key,
    job.c.created_at,
)


class Neighbours:
    """Compares for one tenant at a time. Raises StoreUnavailable."""

    def __init__(self, database: Database, *, most_compared: int = MOST_COMPARED) -> None:
        self._database = database
        self._most_compared = most_compared

    def nearest(
        self, job_id: str, *, tenant: str, region: str, any_region: bool = False, limit: int
    ) -> Nearest | None:
        """Return what is nearest to a job's region among the other studies; None where it has no embedding.

        A study that was computed several times stands by its newest job. Of more than `most_compared` embeddings
        the newest are looked at.
        """
        with self._database.read() as connection:
            own = connection.execute(
                select(*_OWN)
                .join(job, _OF_JOB)
                .where(*_present(tenant), job.c.id == job_id, embedding.c.region == region)
            ).one_or_none()
            if own is None:
                return None
            same = () if any_region else (embedding.c.region == region,)
            rows = connection.execution_options(yield_per=_BLOCK).execute(
                select(*_OTHER)
                .join(job, _OF_JOB)
                .where(
                    *_present(tenant), embedding.c.space == own.space, job.c.study_key != own.study_key, *same
                )
                .order_by(job.c.created_at.desc(), job.c.id)
                .limit(self._most_compared + 1)
            )
            looked_at = _Counted(rows, self._most_compared)
            found = heapq.nlargest(limit, _compared(own.vector, looked_at), key=_by_similarity)
        return Nearest(own.space, own.n_patches, looked_at.n, not looked_at.is_cut, tuple(found))


class _Counted:
    """Rows up to a limit, and whether there were more."""

    def __init__(self, rows: CursorResult[Any], limit: int) -> None:
        self._rows = rows
        self._limit = limit
        self.n = 0
        self.is_cut = False

    def __iter__(self) -> Iterator[Row[Any]]:
        for row in self._rows:
            if self.n == self._limit:
                self.is_cut = True
            else:
                self.n += 1
                yield row


def _compared(own: bytes, others: Iterable[Row[Any]]) -> Iterator[Neighbour]:
    vector = array("f", own)
    seen: set[tuple[str, str]] = set()
    for other in others:
        place = (other.study_key, other.region)
        if place in seen:
            continue
        seen.add(place)
        cosine = sum(map(mul, vector, array("f", other.vector)))  # both are of unit length
        yield Neighbour(
            other.job_id, other.region, min(1.0, max(-1.0, cosine)), other.n_patches, other.created_at
        )


def _by_similarity(neighbour: Neighbour) -> tuple[float, str, str]:
    return neighbour.similarity, neighbour.job_id, neighbour.region


def _present(tenant: str) -> tuple[ColumnElement[bool], ...]:
    return (embedding.c.tenant == tenant, job.c.tenant == tenant, job.c.purged_at.is_(None))
