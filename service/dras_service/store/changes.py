"""Every change of a job goes through here: the row, the event that tells of it, and who is to be told.

All three are written in the caller's transaction. A terminal state is final: no change finds such a job.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from dras_service.api.jobs import FAULT_SENTENCES, TERMINAL, Fault, JobState
from dras_service.store.rows import Job
from dras_service.store.schema import event, job, outbox, webhook

JOB_COLUMNS = [job.c[name] for name in Job.__dataclass_fields__]
NO_LEASE: dict[str, None] = {"lease_owner": None, "lease_until": None}


def job_of(row: Row[Any]) -> Job:
    """Return the job of a row of `JOB_COLUMNS`."""
    values = row._asdict()
    return Job(**values | {"state": JobState(values["state"])})


def change(
    connection: Connection, job_id: str, *conditions: ColumnElement[bool], now: float, **values: Any
) -> Job | None:
    """Change a job that has not ended and meets `conditions`; None where there is none."""
    row = connection.execute(
        update(job)
        .where(job.c.id == job_id, job.c.state.not_in(TERMINAL), *conditions)
        .values(updated_at=now, **values)
        .returning(*JOB_COLUMNS)
    ).one_or_none()
    if row is None:
        return None
    changed = job_of(row)
    tell(connection, changed, now=now)
    return changed


def tell(connection: Connection, changed: Job, *, now: float) -> None:
    """Write the event of a change, and the calls of the tenant's webhooks where the job has ended."""
    connection.execute(
        insert(event).values(
            tenant=changed.tenant,
            job_id=changed.id,
            at=now,
            state=changed.state,
            stage=changed.stage,
            progress=changed.progress,
            attempt=changed.attempts,
            code=changed.code,
        )
    )
    if changed.state.is_terminal:
        _announce(connection, changed, now=now)
    if changed.state.has_result:
        _deliver(connection, changed, changed.send_to or (), now=now)


def hint(connection: Connection, waiting: Job, *, not_before: float, now: float) -> None:
    """Write a hint that the job waits, to be sent from `not_before` on."""
    connection.execute(
        insert(outbox).values(
            topic="hint",
            tenant=waiting.tenant,
            job_id=waiting.id,
            target=waiting.queue,
            payload=None,
            not_before=not_before,
            attempts=0,
            created_at=now,
        )
    )


def send_also(connection: Connection, found: Job, send_to: Sequence[str], *, now: float) -> Job:
    """Let the results of a job that stands go to further systems, too, at once where it has ended."""
    further = [name for name in send_to if name not in (found.send_to or ())]
    if not further:
        return found
    row = connection.execute(
        update(job)
        .where(job.c.tenant == found.tenant, job.c.id == found.id)
        .values(send_to=[*(found.send_to or ()), *further])
        .returning(*JOB_COLUMNS)
    ).one()
    if found.state.has_result:
        _deliver(connection, found, further, now=now)
    return job_of(row)


def requeued(not_before: float) -> dict[str, Any]:
    """Return the values of a job that waits again."""
    return NO_LEASE | {
        "state": JobState.QUEUED,
        "stage": None,
        "progress": 0.0,
        "not_before": not_before,
        "hints": 0,
        "hinted_at": None,
    }


def quarantined() -> dict[str, Any]:
    """Return the values of a job that every attempt has lost its worker over."""
    return NO_LEASE | {
        "state": JobState.QUARANTINED,
        "code": Fault.WORKER_LOST,
        "message": FAULT_SENTENCES[Fault.WORKER_LOST],
    }


def _deliver(connection: Connection, ended: Job, send_to: Sequence[str], *, now: float) -> None:
    letters = [
        {
            "topic": "dicom",
            "tenant": ended.tenant,
            "job_id": ended.id,
            "target": name,
            "payload": None,
            "not_before": now,
            "attempts": 0,
            "created_at": now,
        }
        for name in send_to
    ]
    if letters:
        connection.execute(insert(outbox), letters)


def _announce(connection: Connection, ended: Job, *, now: float) -> None:
    hooks = connection.execute(
        select(webhook.c.id, webhook.c.states).where(
            webhook.c.tenant == ended.tenant, webhook.c.disabled_at.is_(None)
        )
    ).all()
    letters = [
        {
            "topic": "webhook",
            "tenant": ended.tenant,
            "job_id": ended.id,
            "target": hook_id,
            "payload": {"job_id": ended.id, "state": ended.state.value},
            "not_before": now,
            "attempts": 0,
            "created_at": now,
        }
        for hook_id, states in hooks
        if not states or ended.state in states
    ]
    if letters:
        connection.execute(insert(outbox), letters)
