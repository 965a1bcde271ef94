"""The Python SDK: `Client(url).submit(path).wait().result()`."""

from dras_client.client import Client
from dras_client.errors import (
    AccessRefused,
    ArtifactNotFound,
    DownloadCorrupt,
    DrasClientError,
    InvalidAddress,
    JobFailed,
    JobNotFound,
    ProblemError,
    ResultNotReady,
    ServiceUnreachable,
    SourceUnreadable,
    StudyRejected,
    TimedOut,
    UnexpectedAnswer,
    UnknownBundle,
    WaitTimedOut,
)
from dras_client.jobs import Job

__all__ = [
    "AccessRefused",
    "ArtifactNotFound",
    "Client",
    "DownloadCorrupt",
    "DrasClientError",
    "InvalidAddress",
    "Job",
    "JobFailed",
    "JobNotFound",
    "ProblemError",
    "ResultNotReady",
    "ServiceUnreachable",
    "SourceUnreadable",
    "StudyRejected",
    "TimedOut",
    "UnexpectedAnswer",
    "UnknownBundle",
    "WaitTimedOut",
]
