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
    INVALID_PARAMETER = "INVALID_PARAMETER"
    UNKNOWN_BUNDLE = "UNKNOWN_BUNDLE"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    RESULT_NOT_READY = "RESULT_NOT_READY"
    STUDY_REJECTED = "STUDY_REJECTED"
    JOB_FAILED = "JOB_FAILED"
    ARTIFACT_NOT_FOUND = "ARTIFACT_NOT_FOUND"
    BAD_REQUEST = "BAD_REQUEST"
    INTERNAL = "INTERNAL"
    NOT_READY = "NOT_READY"
    STORAGE_FULL = "STORAGE_FULL"


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
            408, "The upload stalled", "No byte came for {idle_timeout_s:.0f} seconds; nothing was kept."
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
        ProblemCode.INVALID_PARAMETER: ProblemEntry(
            422, "A parameter is invalid", "See `errors` for which parameter breaks which rule."
        ),
        ProblemCode.UNKNOWN_BUNDLE: ProblemEntry(
            422, "No such model bundle is offered", "Offered are {offered}; /v1/bundles says what they are."
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
            "No job has this id; it is in the Location header of the upload's answer.",
        ),
        ProblemCode.RESULT_NOT_READY: ProblemEntry(
            409, "The result is not ready", "The job is {state}; ask again after Retry-After seconds."
        ),
        ProblemCode.STUDY_REJECTED: ProblemEntry(422, "The study was rejected", "{message}"),
        ProblemCode.JOB_FAILED: ProblemEntry(409, "The job ended without a result", "{message}"),
        ProblemCode.ARTIFACT_NOT_FOUND: ProblemEntry(
            404, "There is no such file", "The job's /artifacts lists the files it has."
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
