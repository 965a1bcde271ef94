from functools import partial

import httpx2
import pytest

from dras_client import (
    AccessRefused,
    Client,
    JobNotFound,
    ProxyFailed,
    ServiceBusy,
    ServiceUnreachable,
    TimedOut,
    UnexpectedAnswer,
)
from dras_client.patience import Patience
from dras_service.api.problems import MEDIA_TYPE, Problem, ProblemCode

HEALTH = {"status": "ok", "version": "1"}


def problem(code, **headers):
    document = Problem.of(code, {"missing": "database", "limit": "1", "scope": "read"})
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(
        document.status,
        json=document.model_dump(mode="json"),
        headers={"Content-Type": MEDIA_TYPE} | headers,
    )


PAGE = httpx2.Response(502, html="<h1>Bad gateway</h1>")
FAULTS = {
    "refused": httpx2.ConnectError("refused"),
    "reset": httpx2.WriteError("reset"),
    "slow": httpx2.ReadTimeout("slow"),
    "page of a proxy": PAGE,
    "busy": problem(ProblemCode.NOT_READY),
    "limited": problem(ProblemCode.RATE_LIMITED),
    "under way": problem(ProblemCode.IDEMPOTENCY_KEY_IN_USE),
}


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """What was slept, none of it in earnest."""
    slept = []
    monkeypatch.setattr("dras_client.blocking.time.sleep", slept.append)
    return slept


class Script:
    """A network that answers what a test wrote, in order, and then the last for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(script, **options):
    return Client("http://test", transport=httpx2.MockTransport(script), **options)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_question_is_repeated_until_it_is_answered(fault):
    script = Script(fault, fault, httpx2.Response(200, json=HEALTH))
    assert client_of(script).health().version == "1"
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refused", ServiceUnreachable),
        ("slow", TimedOut),
        ("page of a proxy", ProxyFailed),
        ("busy", ServiceBusy),
    ],
)
def test_a_question_that_is_never_answered_is_given_up(fault, error):
    script = Script(FAULTS[fault])
    with pytest.raises(error):
        client_of(script, retry_for_s=2).health()
    assert len(script.requests) > 1


@pytest.fixture
def silent_once(monkeypatch):
    """A network that says nothing for as long as it may, then answers; the time is the test's own."""
    now = [0.0]
    monkeypatch.setattr("dras_client.exchange.Patience", partial(Patience, clock=lambda: now[0]))

    def answering(answer):
        script = Script(FAULTS["slow"], answer)

        def network(request):
            now[0] += 0 if script.requests else request.extensions["timeout"]["read"]
            return script(request)

        return network

    return answering


def test_by_default_silence_is_borne(silent_once):
    assert client_of(silent_once(httpx2.Response(200, json=HEALTH))).health().version == "1"


def test_the_silence_that_breaks_a_stream_is_no_part_of_the_patience_with_its_return(silent_once):
    ended = silent_once(httpx2.Response(204))
    assert list(client_of(ended, timeout_s=30, retry_for_s=20).events("a")) == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_attempt_at_an_upload_is_the_same_request(fault):
    script = Script(fault, fault, problem(ProblemCode.EMPTY_UPLOAD))
    with pytest.raises(Exception, match="EMPTY_UPLOAD"):
        client_of(script).submit(b"study", series="1.2")
    keys = {request.headers["Idempotency-Key"] for request in script.requests}
    assert (len(script.requests), len(keys)) == (3, 1)
    assert {(request.content, str(request.url)) for request in script.requests} == {
        (b"study", "http://test/v1/studies?series=1.2")
    }


def test_two_uploads_are_two_requests_unless_the_key_says_otherwise():
    script = Script(problem(ProblemCode.EMPTY_UPLOAD))
    client = client_of(script)
    for key in (None, None, "mine", "mine"):
        with pytest.raises(Exception, match="EMPTY_UPLOAD"):
            client.submit(b"study", idempotency_key=key)
    keys = [request.headers["Idempotency-Key"] for request in script.requests]
    assert len(set(keys)) == 3
    assert keys[2:] == ['"mine"', '"mine"']


def test_progress_of_an_upload_begins_anew_with_each_attempt():
    told = []
    script = Script(FAULTS["reset"], problem(ProblemCode.EMPTY_UPLOAD))
    with pytest.raises(Exception, match="EMPTY_UPLOAD"):
        client_of(script).submit(bytes(300_000), on_progress=lambda *numbers: told.append(numbers))
    assert told == [(262_144, 300_000), (300_000, 300_000)] * 2


def test_the_pause_is_no_shorter_than_the_service_asks_for(pauses):
    script = Script(problem(ProblemCode.RATE_LIMITED, Retry_After="7"), httpx2.Response(200, json=HEALTH))
    client_of(script).health()
    assert 7 < pauses[0] < 8


def test_who_is_asked_to_wait_for_longer_than_is_borne_says_so_at_once(pauses):
    with pytest.raises(ServiceBusy) as busy:
        client_of(Script(problem(ProblemCode.QUEUE_QUOTA, Retry_After="300"))).health()
    assert (busy.value.retry_after_s, pauses) == (300, [])


def test_what_was_removed_by_an_attempt_whose_answer_was_lost_is_removed():
    view = {
        "id": "a",
        "state": "succeeded",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "links": {"job": "", "result": "", "artifacts": "", "events": ""},
    }
    gone = problem(ProblemCode.JOB_NOT_FOUND)
    script = Script(httpx2.Response(200, json=view), FAULTS["slow"], gone)
    client = client_of(script)
    job = client.job("a")
    job.remove()
    with pytest.raises(JobNotFound):
        job.remove()


@pytest.mark.parametrize(
    "content", ["hello", "{}", '{"status": 7, "version": "1"}'], ids=["text", "nothing", "other types"]
)
def test_an_answer_of_another_program_is_not_taken_for_a_result(content):
    with pytest.raises(UnexpectedAnswer):
        client_of(Script(httpx2.Response(200, text=content))).health()


def test_fields_that_are_newer_than_this_sdk_are_left_out():
    answer = httpx2.Response(200, json=HEALTH | {"new": 1})
    assert client_of(Script(answer)).health().version == "1"


def test_a_proxy_of_the_site_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert Client(f"http://{host}:1")._calls.wire.http._mounts == {}
    assert Client("http://example.org")._calls.wire.http._mounts != {}


@pytest.mark.parametrize(
    ("given", "variable", "sent"),
    [
        ("dras_a", None, "Bearer dras_a"),
        (None, "dras_b", "Bearer dras_b"),
        ("dras_a", "dras_b", "Bearer dras_a"),
        (None, None, None),
    ],
)
def test_a_key_is_sent_as_a_bearer_and_only_where_there_is_one(monkeypatch, given, variable, sent):
    monkeypatch.delenv("DRAS_API_KEY", raising=False)
    if variable is not None:
        monkeypatch.setenv("DRAS_API_KEY", variable)
    script = Script(httpx2.Response(200, json=HEALTH))
    client_of(script, key=given).health()
    assert script.requests[0].headers.get("authorization") == sent


@pytest.mark.parametrize("code", [ProblemCode.UNAUTHENTICATED, ProblemCode.SCOPE_MISSING])
def test_a_key_that_is_not_taken_has_an_error_of_its_own(code):
    with pytest.raises(AccessRefused) as refusal:
        client_of(Script(problem(code)), key="dras_a").health()
    assert "dras_a" not in str(refusal.value)


def test_a_key_that_is_not_taken_is_not_tried_again(pauses):
    with pytest.raises(AccessRefused):
        client_of(Script(problem(ProblemCode.TOO_MANY_FAILURES, Retry_After="1"))).health()
    assert pauses == []
