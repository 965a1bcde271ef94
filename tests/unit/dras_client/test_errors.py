import json
import re

import httpx2
import pytest

import dras_client
from dras_client import errors
from dras_client.errors import (
    DrasClientError,
    InvalidAddress,
    JobFailed,
    JobNotFound,
    ProblemError,
    ProxyFailed,
    ServiceBusy,
    ServiceUnreachable,
    SourceUnreadable,
    StudyRejected,
    TimedOut,
    UnexpectedAnswer,
    UploadRefused,
    fault_of,
    translated,
)
from dras_service.api.problems import MEDIA_TYPE, PROBLEMS, Problem, ProblemCode

REQUEST = httpx2.Request("GET", "http://test")


def foreign_errors():
    """Every exception class that the HTTP library exports, warnings aside."""
    for name in dir(httpx2):
        found = getattr(httpx2, name)
        if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, Warning):
            yield found


def make(foreign):
    for arguments in (("text",), (), ("text", None)):
        try:
            return foreign(*arguments)
        except TypeError:
            continue
    return foreign("text", request=REQUEST, response=httpx2.Response(500, request=REQUEST))


@pytest.mark.parametrize("foreign", list(foreign_errors()), ids=lambda foreign: foreign.__name__)
def test_no_exception_of_the_http_library_gets_past_the_translator(foreign):
    def fail():
        with translated("http://test"):
            raise make(foreign)

    with pytest.raises(DrasClientError) as caught:
        fail()
    assert isinstance(caught.value.__cause__, foreign)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (httpx2.ConnectTimeout, TimedOut),
        (httpx2.ReadTimeout, TimedOut),
        (httpx2.ConnectError, ServiceUnreachable),
        (httpx2.RemoteProtocolError, ServiceUnreachable),
        (httpx2.LocalProtocolError, SourceUnreadable),
        (httpx2.UnsupportedProtocol, InvalidAddress),
        (httpx2.TooManyRedirects, UnexpectedAnswer),
    ],
)
def test_what_went_wrong_is_still_told_apart(foreign, ours):
    with pytest.raises(ours), translated("http://test"):
        raise make(foreign)


def answer(status, content, media_type=MEDIA_TYPE):
    headers = {"Content-Type": media_type}
    return httpx2.Response(status, content=content, headers=headers, request=REQUEST)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (ProblemCode.JOB_NOT_FOUND, JobNotFound),
        (ProblemCode.STUDY_REJECTED, StudyRejected),
        (ProblemCode.JOB_FAILED, JobFailed),
        (ProblemCode.EMPTY_UPLOAD, UploadRefused),
        (ProblemCode.INTERNAL, ProblemError),
    ],
)
def test_a_problem_document_is_the_error_of_its_code(code, error):
    problem = Problem.of(code, {"message": "No."}, study_code="NOT_DICOM")
    found = fault_of(answer(problem.status, problem.model_dump_json()), "http://test")
    assert type(found) is error
    assert (found.code, found.study_code) == (code, "NOT_DICOM")


def test_a_code_that_is_newer_than_this_sdk_is_still_a_problem():
    document = Problem.of(ProblemCode.EMPTY_UPLOAD).model_dump(mode="json") | {"code": "NEW_CODE"}
    for status, kind in ((400, ProblemError), (429, ServiceBusy), (503, ServiceBusy)):
        answered = httpx2.Response(status, json=document, headers={"Content-Type": MEDIA_TYPE})
        found = fault_of(answered, "")
        assert (type(found), found.code) == (kind, "NEW_CODE")


@pytest.mark.parametrize(
    "response",
    [
        answer(403, "<html>Sign in</html>", "text/html"),
        answer(404, "{}", "application/json"),
        answer(500, "no json"),
        answer(500, "[]"),
        answer(500, '{"code": "X"}'),
    ],
    ids=["HTML of a proxy", "another service", "no JSON", "a list", "half a document"],
)
def test_an_error_that_is_no_problem_document_is_not_taken_for_the_service(response):
    assert type(fault_of(response, "http://test")) is UnexpectedAnswer


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_page_of_a_proxy_says_that_the_service_was_not_reached(status):
    page = answer(status, "<html>Bad gateway</html>", "text/html")
    page.headers["Retry-After"] = "7"
    found = fault_of(page, "http://test")
    assert (type(found), found.may_pass, found.retry_after_s) == (ProxyFailed, True, 7.0)


def error_classes():
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


def drawn():
    """Each name of the drawing and the one above it, by how far it is moved in."""
    above = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+)(?:  |$)", line)
        if found and (found[1] or found[2] == "DrasClientError"):
            del above[len(found[1]) // 4 :]
            yield found[2], (above or ["Exception"])[-1], line
            above.append(found[2])


def test_the_tree_at_the_top_of_the_module_is_the_tree_of_the_classes():
    written = {kind.__name__: kind.__bases__[0].__name__ for kind in error_classes()}
    assert {name: parent for name, parent, _ in drawn()} == written


def test_the_tree_marks_what_may_pass():
    marked = {name for name, _, line in drawn() if "(may pass)" in line}
    assert marked == {kind.__name__ for kind in error_classes() if kind.may_pass}


def test_every_error_is_exported():
    assert {kind.__name__ for kind in error_classes()} <= set(dras_client.__all__)


def test_every_code_that_an_upload_or_a_job_can_end_with_has_a_class_of_its_own():
    plain = {code for code in ProblemCode if type(fault_of(problem_of(code), "http://test")) is ProblemError}
    assert plain == {
        ProblemCode.IDEMPOTENCY_KEY_REUSED,
        ProblemCode.INVALID_PARAMETER,
        ProblemCode.NOT_FOUND,
        ProblemCode.METHOD_NOT_ALLOWED,
        ProblemCode.JOB_NOT_FINAL,
        ProblemCode.RANGE_NOT_SATISFIABLE,
        ProblemCode.WEBHOOK_NOT_FOUND,
        ProblemCode.WEBHOOK_REFUSED,
        ProblemCode.TOO_MANY_WEBHOOKS,
        ProblemCode.VALIDATION_FAILED,
        ProblemCode.VALIDATION_NOT_OFFERED,
        ProblemCode.BAD_REQUEST,
        ProblemCode.INTERNAL,
    }


def problem_of(code):
    entry = PROBLEMS[code]
    document = {"code": code, "status": entry.status, "title": entry.title, "detail": entry.detail}
    return answer(entry.status, json.dumps(document))
