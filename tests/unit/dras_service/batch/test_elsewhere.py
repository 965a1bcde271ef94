from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import TypeAlias

import httpx2
import pytest

from dras_client import AccessRefused, Client, ServiceUnreachable
from dras_client.testing import FakeService
from dras_client.testing.answers import refusal
from dras_service.api.problems import ProblemCode
from dras_service.batch.cases import Done, Failed, Outcome
from dras_service.batch.elsewhere import ServicePlace
from dras_service.batch.job import BatchJob, Service, Source
from dras_service.batch.ledger import Ledger
from dras_service.batch.places import Notes
from unit.dras_service.batch.conftest import study

PATIENCE_S, DAY_S = 600.0, 86_400.0
Compute: TypeAlias = Callable[..., Outcome]


class Hurried(Event):
    """Waits on a clock of its own, in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now_s += timeout or 0.0
        assert self.now_s < DAY_S, "it waits for ever"
        return self.is_set()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hurried:
    hurried = Hurried()
    monkeypatch.setattr("dras_service.batch.elsewhere.time", SimpleNamespace(monotonic=lambda: hurried.now_s))
    return hurried


@pytest.fixture
def compute(service: FakeService, ledger: Ledger, clock: Hurried, tmp_path: Path) -> Compute:
    """Have the next case of the ledger computed by the service, after it has answered `first`."""
    scan = tmp_path / "scan.nii"
    scan.write_bytes(b"a scan")
    ledger.take_in([study("a")], "recipe")

    def computed(*first: httpx2.Response) -> Outcome:
        troubles = list(first)

        def answer(request: httpx2.Request) -> httpx2.Response:
            return troubles.pop(0) if troubles else service.transport.handle_request(request)

        address = Service(url="http://dras.test", patience_s=PATIENCE_S)
        job = BatchJob(out=tmp_path, source=Source(folder=tmp_path), service=address)
        client = Client(address.url, transport=httpx2.MockTransport(answer), retry_for_s=0)
        case, notes = ledger.next_case(), Notes()
        assert case is not None
        outcome = ServicePlace(client, job, address, stop=clock).compute(
            case, scan, tmp_path / case.name, notes=notes
        )
        while not notes.jobs.empty():
            ledger.note_job(case, notes.jobs.get())
        ledger.end(case, outcome)
        return outcome

    return computed


def test_a_job_that_fails_on_the_service_is_made_anew_only_when_that_is_asked_for(
    service: FakeService, ledger: Ledger, compute: Compute, tmp_path: Path
) -> None:
    service.will_fail()
    failed = compute()
    assert isinstance(failed, Failed)
    assert failed.code == "INTERNAL"
    ledger.end_finding(tmp_path)
    assert ledger.next_case() is None
    ledger.end_finding(tmp_path, again=True)
    assert isinstance(compute(), Done)
    assert len(service.jobs) == 2


def test_a_result_that_was_taken_away_is_fetched_from_the_job_there_is(
    service: FakeService, ledger: Ledger, compute: Compute, tmp_path: Path
) -> None:
    compute()
    ledger.end_finding(tmp_path / "elsewhere")
    assert isinstance(compute(), Done)
    assert len(service.jobs) == 1


@pytest.mark.parametrize(
    "code",
    [ProblemCode.IDEMPOTENCY_KEY_IN_USE, ProblemCode.STORAGE_FULL, ProblemCode.UPLOAD_INCOMPLETE],
)
def test_a_service_that_will_take_the_study_later_is_asked_later(code: ProblemCode, compute: Compute) -> None:
    assert isinstance(compute(refusal(code)), Done)


def test_a_key_that_is_refused_is_not_tried_again(compute: Compute) -> None:
    with pytest.raises(AccessRefused):
        compute(refusal(ProblemCode.TOO_MANY_FAILURES, retry_after_s=1))


def test_patience_with_a_service_that_is_away_begins_when_it_goes(
    service: FakeService, clock: Hurried, compute: Compute
) -> None:
    service.will_be_busy(times=40)
    service.will_break(times=2)
    assert isinstance(compute(), Done)
    assert clock.now_s > PATIENCE_S


def test_a_service_that_stays_away_ends_the_batch(
    service: FakeService, clock: Hurried, compute: Compute
) -> None:
    service.will_break(times=100)
    with pytest.raises(ServiceUnreachable):
        compute()
    assert clock.now_s <= 1.0 + PATIENCE_S
