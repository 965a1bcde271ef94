"""The queues a job can wait in: one for a study in one go, or one after the other for each of its stages.

Leaves out what the stages do (`dras_model.staged`) and what the broker calls the queues (`queue.app`).
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from dras_service.api.jobs import JobState


class JobQueue(StrEnum):
    """Where a job waits; the stages in the order in which a study goes through them."""

    STUDY = "study"  # everything in one go
    PREPARE = "prepare"  # processors
    ENCODE = "encode"  # the device of the encoder
    FINISH = "finish"  # processors


STAGES = (JobQueue.PREPARE, JobQueue.ENCODE, JobQueue.FINISH)
AFTER: Mapping[JobQueue, JobQueue] = MappingProxyType(
    {JobQueue.PREPARE: JobQueue.ENCODE, JobQueue.ENCODE: JobQueue.FINISH}
)
STATE_IN: Mapping[JobQueue, JobState] = MappingProxyType(
    {
        JobQueue.STUDY: JobState.PREPARING,
        JobQueue.PREPARE: JobState.PREPARING,
        JobQueue.ENCODE: JobState.ENCODING,
        JobQueue.FINISH: JobState.FINISHING,
    }
)
