"""Everything the SDK raises; no exception of the HTTP library gets past this package.

DrasClientError
├── SourceUnreadable        what should be sent is missing, empty, unreadable, or changed meanwhile
├── InvalidAddress          the service's URL is none
├── ServiceUnreachable      nobody answers at the service's address, or the connection broke          (may pass)
│   ├── TimedOut            nobody answered in time                                                   (may pass)
│   └── ProxyFailed         something in between answers 502, 503 or 504 in the service's stead       (may pass)
├── UnexpectedAnswer        what answers is no dras service: another program, a page to sign in
├── WaitTimedOut            the job has not ended in the time given; it goes on
├── DownloadCorrupt         a file arrived with another hash than the service announced
├── ExtraMissing            a table was asked for, and pandas is not installed
└── ProblemError            the service says no, with `code`, `status`, `title`, `detail` and `retry_after_s`
    ├── AccessRefused       no valid key was sent, or the key may not do that
    ├── ServiceBusy         too many requests, jobs or uploads, or the service is about to stop       (may pass)
    ├── UploadInterrupted   the upload broke off or was too slow; nothing was kept                    (may pass)
    ├── UploadRefused       the upload is empty, too large, or no study and no archive
    ├── NoRoom              the service's disk, or the room of the tenant, is full
    ├── UnknownBundle       no model bundle has this name; `detail` lists those there are
    ├── JobNotFound         no job has this id
    ├── ArtifactNotFound    the job has no file of this name
    ├── ResultNotReady      the job has not ended yet
    ├── StudyRejected       the study was refused; `study_code` says why
    ├── JobCancelled        the job was cancelled
    ├── JobFailed           the service could not do the job; `study_code` says why
    └── NoEmbedding         the result has no embedding to compare in this region

What may pass is repeated by the client itself before it is raised, for as long as `retry_for_s` says.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

import httpx2

from dras_client.retry_after import retry_after_s
from dras_service.api.problems import MEDIA_TYPE, ProblemCode

_OF_A_PROXY = frozenset({502, 503, 504})


class DrasClientError(Exception):
    """Base of everything the SDK raises."""

    may_pass: ClassVar[bool] = False
    retry_after_s: float | None = None


class SourceUnreadable(DrasClientError):
    """What should be sent is missing, empty, unreadable, or changed while it was sent."""


class InvalidAddress(DrasClientError):
    """The service's URL is none."""


class ServiceUnreachable(DrasClientError):
    """Nobody answers at the service's address, or the connection broke."""

    may_pass = True


class TimedOut(ServiceUnreachable):
    """Nobody answered in time."""


class ProxyFailed(ServiceUnreachable):
    """Something between here and the service answers 502, 503 or 504 in its stead."""


class UnexpectedAnswer(DrasClientError):
    """What answers is no dras service."""


class WaitTimedOut(DrasClientError):
    """The job has not ended in the time given; it goes on."""


class DownloadCorrupt(DrasClientError):
    """A file arrived with another hash than the service announced."""


class ExtraMissing(DrasClientError):
    """A table was asked for, and pandas is not installed."""


class ProblemError(DrasClientError):
    """The service says no. `code` is stable; `study_code` is the job's own, where there is one."""

    def __init__(self, document: Mapping[str, Any], *, retry_after_s: float | None = None) -> None:
        self.code = str(document["code"])
        self.status = int(document["status"])
        self.title = str(document["title"])
        self.detail = str(document["detail"])
        self.study_code: str | None = document.get("study_code")
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.study_code or self.code}: {self.detail}")


class AccessRefused(ProblemError):
    """The service lets nobody in without a valid key, or this key may not do that."""


class ServiceBusy(ProblemError):
    """The service takes no more just now; `retry_after_s` says when to come back."""

    may_pass = True


class UploadInterrupted(ProblemError):
    """The upload broke off on its way, or was too slow."""

    may_pass = True


class UploadRefused(ProblemError):
    """The upload is empty, too large, or holds nothing that can be taken for a study."""


class NoRoom(ProblemError):
    """The disk of the service, or the room of the tenant, is full."""


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


class JobCancelled(ProblemError):
    """The job was cancelled and has no result."""


class JobFailed(ProblemError):
    """The service could not do the job; the study may be fine."""


class NoEmbedding(ProblemError):
    """The result has no embedding of this region to compare."""


_CODES: Mapping[type[ProblemError], tuple[ProblemCode, ...]] = MappingProxyType(
    {
        AccessRefused: (
            ProblemCode.UNAUTHENTICATED,
            ProblemCode.SCOPE_MISSING,
            ProblemCode.TOO_MANY_FAILURES,  # to come back with the same key is another failure
        ),
        ServiceBusy: (
            ProblemCode.RATE_LIMITED,
            ProblemCode.TOO_BUSY,
            ProblemCode.QUEUE_FULL,
            ProblemCode.QUEUE_QUOTA,
            ProblemCode.DRAINING,
            ProblemCode.NOT_READY,
            ProblemCode.IDEMPOTENCY_KEY_IN_USE,  # by the attempt before, whose end is not known yet
        ),
        UploadInterrupted: (ProblemCode.UPLOAD_INCOMPLETE, ProblemCode.UPLOAD_TOO_SLOW),
        UploadRefused: (
            ProblemCode.EMPTY_UPLOAD,
            ProblemCode.MALFORMED_UPLOAD,
            ProblemCode.UPLOAD_TOO_LARGE,
            ProblemCode.TOO_MANY_FILES,
            ProblemCode.UNSUPPORTED_MEDIA_TYPE,
            ProblemCode.ARCHIVE_INVALID,
            ProblemCode.ARCHIVE_TOO_LARGE,
            ProblemCode.BODY_TOO_LARGE,
        ),
        NoRoom: (ProblemCode.STORAGE_FULL, ProblemCode.STORAGE_QUOTA),
        UnknownBundle: (ProblemCode.UNKNOWN_BUNDLE,),
        JobNotFound: (ProblemCode.JOB_NOT_FOUND,),
        ArtifactNotFound: (ProblemCode.ARTIFACT_NOT_FOUND,),
        ResultNotReady: (ProblemCode.RESULT_NOT_READY,),
        StudyRejected: (ProblemCode.STUDY_REJECTED,),
        JobCancelled: (ProblemCode.JOB_CANCELLED,),
        JobFailed: (ProblemCode.JOB_FAILED,),
        NoEmbedding: (ProblemCode.NO_EMBEDDING,),
    }
)
_OF_CODE: Mapping[str, type[ProblemError]] = {
    code.value: kind for kind, codes in _CODES.items() for code in codes
}
_OF_STATUS: Mapping[int, type[ProblemError]] = {
    429: ServiceBusy,
    503: ServiceBusy,
}  # of a code that is newer than this SDK


def codes_of(kind: type[ProblemError]) -> tuple[ProblemCode, ...]:
    """Return the codes of the service that an error stands for."""
    return _CODES.get(kind, ())


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


def fault_of(response: httpx2.Response, address: str) -> DrasClientError | None:
    """Return what a read answer says; None where it is a success."""
    if response.is_success:
        return None
    pause_s = retry_after_s(response.headers)
    if response.headers.get("content-type", "").partition(";")[0] == MEDIA_TYPE:
        try:
            document = response.json()
            unknown = _OF_STATUS.get(response.status_code, ProblemError)
            kind = _OF_CODE.get(document["code"], unknown)
            return kind(document, retry_after_s=pause_s)
        except (ValueError, KeyError, TypeError):
            pass
    if response.status_code in _OF_A_PROXY:
        failed = ProxyFailed(
            f"{address} is not reached: what stands before it answers {response.status_code}."
        )
        failed.retry_after_s = pause_s
        return failed
    return UnexpectedAnswer(
        f"{address} answers with status {response.status_code} in words that are no dras service's."
    )
