import httpx2
import pytest

import dras_client.errors as errors
from dras_client.errors import (
    DrasClientError,
    InvalidAddress,
    JobFailed,
    JobNotFound,
    ProblemError,
    ServiceUnreachable,
    SourceUnreadable,
    StudyRejected,
    TimedOut,
    UnexpectedAnswer,
    raise_for_problem,
    translated,
)
from dras_service.api.problems import MEDIA_TYPE, Problem, ProblemCode

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
        (ProblemCode.EMPTY_UPLOAD, ProblemError),
    ],
)
def test_a_problem_document_is_the_error_of_its_code(code, error):
    problem = Problem.of(code, {"message": "No."}, study_code="NOT_DICOM")
    with pytest.raises(error) as caught:
        raise_for_problem(answer(problem.status, problem.model_dump_json()), "http://test")
    assert (caught.value.code, caught.value.study_code) == (code, "NOT_DICOM")


def test_a_code_that_is_newer_than_this_sdk_is_still_a_problem():
    document = Problem.of(ProblemCode.EMPTY_UPLOAD).model_dump(mode="json") | {"code": "NEW_CODE"}
    with pytest.raises(ProblemError) as caught:
        raise_for_problem(httpx2.Response(400, json=document, headers={"Content-Type": MEDIA_TYPE}), "")
    assert caught.value.code == "NEW_CODE"


@pytest.mark.parametrize(
    "response",
    [
        answer(502, "<html>Bad gateway</html>", "text/html"),
        answer(404, "{}", "application/json"),
        answer(500, "no json"),
        answer(500, "[]"),
        answer(500, '{"code": "X"}'),
    ],
    ids=["HTML of a proxy", "another service", "no JSON", "a list", "half a document"],
)
def test_an_error_that_is_no_problem_document_is_not_taken_for_the_service(response):
    with pytest.raises(UnexpectedAnswer):
        raise_for_problem(response, "http://test")


def test_the_tree_at_the_top_of_the_module_names_every_error():
    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, Exception):
            assert name in errors.__doc__
