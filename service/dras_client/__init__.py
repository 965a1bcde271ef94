"""The Python SDK: `Client(url).submit(path).wait().regions()`; `AsyncClient` is the same to await.

Speaks HTTP and reads results; loads neither the imaging stack nor the service, numpy and pandas only when asked.
"""

from dras_client.arrays import Features
from dras_client.async_client import AsyncClient
from dras_client.async_jobs import AsyncJob
from dras_client.client import Client
from dras_client.errors import (
    AccessRefused,
    ArtifactNotFound,
    DownloadCorrupt,
    DrasClientError,
    ExtraMissing,
    InvalidAddress,
    JobCancelled,
    JobFailed,
    JobNotFound,
    NoEmbedding,
    NoRoom,
    ProblemError,
    ProxyFailed,
    ResultNotReady,
    ServiceBusy,
    ServiceUnreachable,
    SourceUnreadable,
    StudyRejected,
    TimedOut,
    UnexpectedAnswer,
    UnknownBundle,
    UploadInterrupted,
    UploadRefused,
    WaitTimedOut,
)
from dras_client.events import JobEvent
from dras_client.jobs import Job
from dras_model.results.study import Region, StudyResult
from dras_service.api.jobs import JobState
from dras_service.api.options import JobOptions
from dras_service.api.similarity import SimilarList

__all__ = [
    "AccessRefused",
    "ArtifactNotFound",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "DownloadCorrupt",
    "DrasClientError",
    "ExtraMissing",
    "Features",
    "InvalidAddress",
    "Job",
    "JobCancelled",
    "JobEvent",
    "JobFailed",
    "JobNotFound",
    "JobOptions",
    "JobState",
    "NoEmbedding",
    "NoRoom",
    "ProblemError",
    "ProxyFailed",
    "Region",
    "ResultNotReady",
    "ServiceBusy",
    "ServiceUnreachable",
    "SimilarList",
    "SourceUnreadable",
    "StudyRejected",
    "StudyResult",
    "TimedOut",
    "UnexpectedAnswer",
    "UnknownBundle",
    "UploadInterrupted",
    "UploadRefused",
    "WaitTimedOut",
]
