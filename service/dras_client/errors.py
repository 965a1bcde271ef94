"""Everything the SDK raises; no exception of the HTTP library gets past this package.

DrasClientError
├── SourceUnreadable      what should be sent is missing, empty, unreadable, or changed meanwhile
├── InvalidAddress        the service's URL is none
├── ServiceUnreachable    nobody answers at the service's address, or the connection broke
│   └── TimedOut          nobody answered in time
├── UnexpectedAnswer      what answers is no dras service: a proxy's page, another program
├── WaitTimedOut          the job has not ended in the time given
├── DownloadCorrupt       a file arrived with another hash than the service announced
└── ProblemError          the service says no, with `code`, `status`, `title` and `detail`
    ├── AccessRefused     no valid key was sent, or the key may not do that
    ├── UnknownBundle     the service offers no model bundle of this name; `detail` lists those it offers
    ├── JobNotFound       no job has this id
    ├── ArtifactNotFound  the job has no file of this name
    ├── ResultNotReady    the job has not ended yet
    ├── StudyRejected     the study was refused; `study_code` says why
    └── JobFailed         the service could not do the job; `study_code` says why
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import httpx2

from dras_service.api.problems import MEDIA_TYPE, ProblemCode


class DrasClientError(Exception):
    """Base of everything the SDK raises."""


class SourceUnreadable(DrasClientError):
    """What should be sent is missing, empty, unreadable, or changed while it was sent."""


class InvalidAddress(DrasClientError):
    """The service's URL is none."""


class ServiceUnreachable(DrasClientError):
    """Nobody answers at the service's address, or the connection broke."""


class TimedOut(ServiceUnreachable):
    """Nobody answered in time."""


class UnexpectedAnswer(DrasClientError):
    """What answers is no dras service."""


class WaitTimedOut(DrasClientError):
    """The job has not ended in the time given; it goes on."""


class DownloadCorrupt(DrasClientError):
    """A file arrived with another hash than the service announced."""


class ProblemError(DrasClientError):
    """The service says no. `code` is stable; `study_code` is the job's own, where there is one."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.code = str(document["code"])
        self.status = int(document["status"])
        self.title = str(document["title"])
        self.detail = str(document["detail"])
        self.study_code: str | None = document.get("study_code")
        super().__init__(f"{self.study_code or self.code}: {self.detail}")


class AccessRefused(ProblemError):
    """The service lets nobody in without a valid key, or this key may not do that."""


class UnknownBundle(ProblemError):
    """The service offers no model bundle of this name."""


class JobNotFound(ProblemError):
    """No job has this id."""


class ArtifactNotFound(ProblemError):
    """The job has no file of this name."""


class ResultNotReady(ProblemError):
    """The job has not ended yet."""


class StudyRejected(ProblemError):
    """The study was refused; no embedding or score was made."""


class JobFailed(ProblemError):
    """The service could not do the job; the study may be fine."""


_OF_CODE: Mapping[str, type[ProblemError]] = MappingProxyType(
    {
        ProblemCode.UNAUTHENTICATED: AccessRefused,
        ProblemCode.SCOPE_MISSING: AccessRefused,
        ProblemCode.UNKNOWN_BUNDLE: UnknownBundle,
        ProblemCode.JOB_NOT_FOUND: JobNotFound,
        ProblemCode.ARTIFACT_NOT_FOUND: ArtifactNotFound,
        ProblemCode.RESULT_NOT_READY: ResultNotReady,
        ProblemCode.STUDY_REJECTED: StudyRejected,
        ProblemCode.JOB_FAILED: JobFailed,
    }
)


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn any exception of the HTTP library into one of this module. `address` is what was spoken to."""
    try:
        yield
    except httpx2.TimeoutException as error:
        raise TimedOut(f"{address} does not answer in time.") from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise InvalidAddress(f"{address} is no http or https address.") from error
    except (httpx2.NetworkError, httpx2.ProxyError, httpx2.RemoteProtocolError) as error:
        raise ServiceUnreachable(f"{address} does not answer, or the connection broke.") from error
    except httpx2.LocalProtocolError as error:
        raise SourceUnreadable("The files changed while they were sent.") from error
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.CookieConflict) as error:
        raise UnexpectedAnswer(f"What answers at {address} is no dras service.") from error


def raise_for_problem(response: httpx2.Response, address: str) -> None:
    """Raise what a read answer says; nothing where it is a success."""
    if response.is_success:
        return
    unexpected = UnexpectedAnswer(
        f"{address} answers with status {response.status_code} in words that are no dras service's."
    )
    if response.headers.get("content-type", "").partition(";")[0] != MEDIA_TYPE:
        raise unexpected
    try:
        document = response.json()
        problem = _OF_CODE.get(document["code"], ProblemError)(document)
    except (ValueError, KeyError, TypeError) as error:
        raise unexpected from error
    raise problem
