"""Every error of the HTTP interface as an RFC 9457 problem document with a stable code.

The table below is the whole list; codes are add-only. A detail's fields hold numbers and names of
ours, never what the client sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:dras:problem:"
_NO_FIELDS: Mapping[str, str | float] = MappingProxyType({})


class ProblemCode(StrEnum):
    """The stable name of an error of the HTTP interface."""

    EMPTY_UPLOAD = "EMPTY_UPLOAD"
    MALFORMED_UPLOAD = "MALFORMED_UPLOAD"
    UPLOAD_INCOMPLETE = "UPLOAD_INCOMPLETE"
    UPLOAD_TOO_SLOW = "UPLOAD_TOO_SLOW"
    UPLOAD_TOO_LARGE = "UPLOAD_TOO_LARGE"
    TOO_MANY_FILES = "TOO_MANY_FILES"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    ARCHIVE_INVALID = "ARCHIVE_INVALID"
    ARCHIVE_TOO_LARGE = "ARCHIVE_TOO_LARGE"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    IDEMPOTENCY_KEY_IN_USE = "IDEMPOTENCY_KEY_IN_USE"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    UNKNOWN_BUNDLE = "UNKNOWN_BUNDLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    SCOPE_MISSING = "SCOPE_MISSING"
    TOO_MANY_FAILURES = "TOO_MANY_FAILURES"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    RESULT_NOT_READY = "RESULT_NOT_READY"
    STUDY_REJECTED = "STUDY_REJECTED"
    JOB_FAILED = "JOB_FAILED"
    JOB_CANCELLED = "JOB_CANCELLED"
    NO_EMBEDDING = "NO_EMBEDDING"
    JOB_NOT_FINAL = "JOB_NOT_FINAL"
    ARTIFACT_NOT_FOUND = "ARTIFACT_NOT_FOUND"
    RANGE_NOT_SATISFIABLE = "RANGE_NOT_SATISFIABLE"
    WEBHOOK_NOT_FOUND = "WEBHOOK_NOT_FOUND"
    WEBHOOK_REFUSED = "WEBHOOK_REFUSED"
    TOO_MANY_WEBHOOKS = "TOO_MANY_WEBHOOKS"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    VALIDATION_NOT_OFFERED = "VALIDATION_NOT_OFFERED"
    BAD_REQUEST = "BAD_REQUEST"
    INTERNAL = "INTERNAL"
    NOT_READY = "NOT_READY"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_BUSY = "TOO_BUSY"
    QUEUE_FULL = "QUEUE_FULL"
    DRAINING = "DRAINING"
    STORAGE_FULL = "STORAGE_FULL"
    QUEUE_QUOTA = "QUEUE_QUOTA"
    STORAGE_QUOTA = "STORAGE_QUOTA"


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """The row of one code: HTTP status, title, and a `str.format` template over the fields."""

    status: int
    title: str
    detail: str


PROBLEMS: Mapping[ProblemCode, ProblemEntry] = MappingProxyType(
    {
        ProblemCode.EMPTY_UPLOAD: ProblemEntry(
            400,
            "Nothing was uploaded",
            "The upload holds no file; send a zip, a tar or the files of one study.",
        ),
        ProblemCode.MALFORMED_UPLOAD: ProblemEntry(
            400, "The upload cannot be read", "The multipart body is not well formed: {fault}."
        ),
        ProblemCode.UPLOAD_INCOMPLETE: ProblemEntry(
            400,
            "The upload broke off",
            "The connection closed before the body was complete; nothing was kept.",
        ),
        ProblemCode.UPLOAD_TOO_SLOW: ProblemEntry(
            408, "The upload is too slow", "{fault}; nothing was kept."
        ),
        ProblemCode.UPLOAD_TOO_LARGE: ProblemEntry(
            413, "The upload is too large", "At most {limit_bytes} bytes are taken; send one study at a time."
        ),
        ProblemCode.TOO_MANY_FILES: ProblemEntry(
            413,
            "The upload has too many files",
            "At most {limit_files} files are taken; send one study at a time.",
        ),
        ProblemCode.UNSUPPORTED_MEDIA_TYPE: ProblemEntry(
            415, "This kind of body is not taken", "Send one of {allowed}, without Content-Encoding."
        ),
        ProblemCode.ARCHIVE_INVALID: ProblemEntry(
            422, "The archive cannot be taken", "The archive is {fault}; pack the study again as zip or tar."
        ),
        ProblemCode.ARCHIVE_TOO_LARGE: ProblemEntry(
            413,
            "The archive holds too much",
            "It says that it unpacks to more than {limit} {unit}; send one study at a time.",
        ),
        ProblemCode.BODY_TOO_LARGE: ProblemEntry(
            413,
            "The body is too large",
            "Less than that is taken here; only an upload of a study may be large.",
        ),
        ProblemCode.IDEMPOTENCY_KEY_IN_USE: ProblemEntry(
            409,
            "A request with this Idempotency-Key is under way",
            "Its answer is not known yet; ask again with the same key after Retry-After seconds.",
        ),
        ProblemCode.IDEMPOTENCY_KEY_REUSED: ProblemEntry(
            422,
            "The Idempotency-Key belongs to another request",
            "It was sent before with another study or other options; send a new key with each request.",
        ),
        ProblemCode.INVALID_PARAMETER: ProblemEntry(
            422, "A parameter is invalid", "See `errors` for which parameter breaks which rule."
        ),
        ProblemCode.UNKNOWN_BUNDLE: ProblemEntry(
            422, "No such model bundle is offered", "Offered are {offered}; /v1/bundles says what they are."
        ),
        ProblemCode.UNAUTHENTICATED: ProblemEntry(
            401,
            "Nobody known asks",
            "Send a valid key as `Authorization: Bearer …`; the operator makes one with `dras keys create`.",
        ),
        ProblemCode.SCOPE_MISSING: ProblemEntry(
            403, "This key may not do that", "The scope `{scope}` is needed, and the key or token lacks it."
        ),
        ProblemCode.TOO_MANY_FAILURES: ProblemEntry(
            429,
            "Too many failed attempts",
            "Too many keys or tokens from this address were invalid; ask again after Retry-After seconds.",
        ),
        ProblemCode.NOT_FOUND: ProblemEntry(
            404, "There is no such address", "/openapi.json lists those there are."
        ),
        ProblemCode.METHOD_NOT_ALLOWED: ProblemEntry(
            405, "This method is not allowed here", "The Allow header lists the methods of this address."
        ),
        ProblemCode.JOB_NOT_FOUND: ProblemEntry(
            404,
            "There is no such job",
            "No job has this id, or it was removed; the Location header of an upload's answer has it.",
        ),
        ProblemCode.RESULT_NOT_READY: ProblemEntry(
            409, "The result is not ready", "The job is {state}; ask again after Retry-After seconds."
        ),
        ProblemCode.STUDY_REJECTED: ProblemEntry(422, "The study was rejected", "{message}"),
        ProblemCode.JOB_FAILED: ProblemEntry(409, "The job ended without a result", "{message}"),
        ProblemCode.JOB_CANCELLED: ProblemEntry(
            409, "The job was cancelled", "It has no result; the same upload again is a new job."
        ),
        ProblemCode.NO_EMBEDDING: ProblemEntry(
            409,
            "The result has no embedding of this region",
            "The region holds no valid patch, or an earlier version made the result; `repeat` makes it anew.",
        ),
        ProblemCode.JOB_NOT_FINAL: ProblemEntry(
            409, "The job has not ended", "The job is {state}; cancel it, then remove it once it has ended."
        ),
        ProblemCode.RANGE_NOT_SATISFIABLE: ProblemEntry(
            416, "The file has no such bytes", "The file has {size_bytes} bytes."
        ),
        ProblemCode.WEBHOOK_NOT_FOUND: ProblemEntry(
            404, "There is no such webhook", "/v1/webhooks lists those there are."
        ),
        ProblemCode.WEBHOOK_REFUSED: ProblemEntry(
            403, "The webhook's address is not allowed", "The address is refused: {fault}."
        ),
        ProblemCode.TOO_MANY_WEBHOOKS: ProblemEntry(
            409, "There are too many webhooks", "At most {limit} are kept; remove one first."
        ),
        ProblemCode.VALIDATION_FAILED: ProblemEntry(
            422,
            "The study could not be looked at",
            "Reading its headers took more than {limit_s:.0f} seconds or failed.",
        ),
        ProblemCode.VALIDATION_NOT_OFFERED: ProblemEntry(
            501,
            "Studies are not looked at here",
            "This gateway reads no images; submit the study, and its job says what was used.",
        ),
        ProblemCode.ARTIFACT_NOT_FOUND: ProblemEntry(
            404, "There is no such file", "The job's /artifacts lists the files it has."
        ),
        ProblemCode.QUEUE_QUOTA: ProblemEntry(
            429,
            "Your queue is full",
            "{limit} of your jobs wait already; ask again after Retry-After seconds.",
        ),
        ProblemCode.STORAGE_QUOTA: ProblemEntry(
            507, "Your room is used up", "At most {limit_bytes} bytes of studies are kept; remove jobs first."
        ),
        ProblemCode.BAD_REQUEST: ProblemEntry(
            400, "The request cannot be read", "The request is not valid HTTP."
        ),
        ProblemCode.INTERNAL: ProblemEntry(
            500, "The service failed", "The fault is the service's; the operator's log tells why."
        ),
        ProblemCode.NOT_READY: ProblemEntry(
            503, "The service is not ready", "Its {missing} cannot be reached just now; ask again."
        ),
        ProblemCode.RATE_LIMITED: ProblemEntry(
            429, "Too many requests", "More than {limit} were sent; ask again after Retry-After seconds."
        ),
        ProblemCode.TOO_BUSY: ProblemEntry(
            503,
            "The service is busy",
            "It takes {limit} of these at once; ask again after Retry-After seconds.",
        ),
        ProblemCode.QUEUE_FULL: ProblemEntry(
            503, "The queue is full", "{limit} jobs wait already; ask again after Retry-After seconds."
        ),
        ProblemCode.DRAINING: ProblemEntry(
            503, "The service is about to stop", "It takes nothing new; ask again after Retry-After seconds."
        ),
        ProblemCode.STORAGE_FULL: ProblemEntry(
            507, "The service's disk is full", "Nothing of this upload was kept; the operator must make room."
        ),
    }
)


class InvalidField(BaseModel):
    """One parameter and the rule it breaks; what was sent is not repeated."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(examples=["query.series"])
    rule: str = Field(examples=["string_too_long"])


class Problem(BaseModel):
    """An RFC 9457 problem document; `code`, `study_code` and `errors` are its extension members."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:dras:problem:EMPTY_UPLOAD",
                    "title": "Nothing was uploaded",
                    "status": 400,
                    "detail": "The upload holds no file; send a zip, a tar or the files of one study.",
                    "code": "EMPTY_UPLOAD",
                    "study_code": None,
                    "errors": [],
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: ProblemCode
    study_code: str | None = Field(None, description="why the job has no result: the job's own code")
    errors: tuple[InvalidField, ...] = ()

    @classmethod
    def of(
        cls,
        code: ProblemCode,
        fields: Mapping[str, str | float] = _NO_FIELDS,
        *,
        study_code: str | None = None,
        errors: tuple[InvalidField, ...] = (),
    ) -> "Problem":
        """Make the document of `code`; its detail is rendered from `fields`, KeyError where one is missing."""
        entry = PROBLEMS[code]
        return cls(
            type=_TYPE_PREFIX + code,
            title=entry.title,
            status=entry.status,
            detail=entry.detail.format_map(fields),
            code=code,
            study_code=study_code,
            errors=errors,
        )
