import httpx2
import pytest

from dras_client import AccessRefused, Client, ServiceUnreachable, TimedOut, UnexpectedAnswer
from dras_service.api.problems import MEDIA_TYPE, Problem, ProblemCode

HEALTH = {"status": "ok", "version": "1"}
BUSY = httpx2.Response(
    503,
    json=Problem.of(ProblemCode.NOT_READY, {"missing": "database"}).model_dump(mode="json"),
    headers={"Content-Type": MEDIA_TYPE},
)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("dras_client.connection._FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("dras_client.connection._MOST_PAUSE_S", 0.001)


class Script:
    """A network that answers what a test wrote, in order, and then the last for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.n_requests = 0

    def __call__(self, request):
        self.n_requests += 1
        request.read()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(script, **options):
    return Client("http://test", transport=httpx2.MockTransport(script), **options)


@pytest.mark.parametrize(
    "fault",
    [httpx2.ConnectError("refused"), httpx2.ReadError("reset"), httpx2.ReadTimeout("slow"), BUSY],
    ids=["refused", "reset", "slow", "busy"],
)
def test_a_question_is_repeated_until_it_is_answered(fault):
    script = Script(fault, fault, httpx2.Response(200, json=HEALTH))
    assert client_of(script).health().version == "1"
    assert script.n_requests == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [(httpx2.ConnectError("refused"), ServiceUnreachable), (httpx2.ReadTimeout("slow"), TimedOut)],
)
def test_a_question_that_is_never_answered_is_given_up(fault, error):
    script = Script(fault)
    with pytest.raises(error):
        client_of(script, retry_for_s=0.02).health()
    assert script.n_requests > 1


def test_an_upload_is_repeated_only_where_nobody_listened():
    refused = Script(
        httpx2.ConnectError("refused"), httpx2.ConnectError("refused"), httpx2.ReadError("reset")
    )
    with pytest.raises(ServiceUnreachable):
        client_of(refused).submit(b"x")
    assert refused.n_requests == 3


def test_an_answer_of_another_program_is_not_taken_for_a_result():
    with pytest.raises(UnexpectedAnswer):
        client_of(Script(httpx2.Response(200, text="hello"))).health()


def test_a_proxy_of_the_site_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        connection = Client(f"http://{host}:1")._connection
        assert connection._http._mounts == {}
    assert Client("http://example.org")._connection._http._mounts != {}


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
    heard = []

    def answer(request):
        heard.append(request.headers.get("authorization"))
        return httpx2.Response(200, json=HEALTH)

    client_of(answer, key=given).health()
    assert heard == [sent]


@pytest.mark.parametrize("code", [ProblemCode.UNAUTHENTICATED, ProblemCode.SCOPE_MISSING])
def test_a_key_that_is_not_taken_has_an_error_of_its_own(code):
    problem = Problem.of(code, {"scope": "read"})
    answer = httpx2.Response(
        problem.status, json=problem.model_dump(mode="json"), headers={"Content-Type": MEDIA_TYPE}
    )
    with pytest.raises(AccessRefused) as refusal:
        client_of(Script(answer), key="dras_a").health()
    assert "dras_a" not in str(refusal.value)
