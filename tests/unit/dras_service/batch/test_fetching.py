"""A PACS that cannot give a study, or is away, as a batch takes it; the archive and the clock are played."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.batch import fetching
from dras_service.batch.cases import Case, GivenBack
from dras_service.batch.job import Pacs
from dras_service.batch.ledger import Ledger
from dras_service.pacs.failures import PeerFailed
from unit.dras_service.batch.conftest import study

PATIENCE_S = 100.0
AWAY = PeerFailed("Nobody answers.")


class Played:
    """An archive whose answers are a script; a study comes when the script is at its end."""

    def __init__(self, *failures: PeerFailed, answers: bool = False) -> None:
        self.failures = list(failures)
        self.answers = answers

    def fetch_study(self, study_uid: str, room: Path) -> None:
        if self.failures:
            raise self.failures.pop(0)
        (room / study_uid).write_bytes(b"an image")

    def find_studies(self, query: object) -> Iterator[object]:
        if not self.answers:
            raise AWAY
        return iter(())


class Waited(Event):
    """Waits in no time and keeps for how long it was asked to; set when its script says so."""

    def __init__(self, *, stopped: bool = False) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.stopped = stopped

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return self.stopped


@pytest.fixture
def case(ledger: Ledger) -> Case:
    ledger.take_in([study("a", study_uid="1.2.3")], "recipe")
    found = ledger.next_case()
    assert found is not None
    return found


@pytest.fixture
def fetch(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Fetch the case from an archive and return the names of its files."""
    peer = SimpleNamespace(fetches_by="c-get")
    monkeypatch.setattr(
        fetching, "read_configuration", lambda _path: SimpleNamespace(peer=lambda _name: peer)
    )
    pacs = Pacs(config=tmp_path / "pacs.toml", peer="archive", patience_s=PATIENCE_S)

    def fetched(archive: Played, stop: Waited) -> list[str]:
        @contextmanager
        def opened(*_: object) -> Iterator[Played]:
            yield archive

        monkeypatch.setattr(fetching, "open_archive", opened)
        with fetching.fetched(case, pacs, tmp_path / "room", stop=stop, at=lambda *_: None) as room:
            return [path.name for path in room.iterdir()]

    return fetched


def test_a_pacs_that_comes_back_in_time_gives_its_study(fetch: Callable[..., list[str]]) -> None:
    stop = Waited()
    assert fetch(Played(AWAY, AWAY, AWAY), stop) == ["1.2.3"]
    assert stop.pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("failures", "answers", "n_pauses"),
    [((PeerFailed("It is gone.", may_pass=False),), False, 0), ((AWAY, AWAY), True, 1)],
    ids=["for good", "while the PACS answers"],
)
def test_a_study_that_cannot_be_given_is_the_failure_of_that_study(
    fetch: Callable[..., list[str]], failures: tuple[PeerFailed, ...], answers: bool, n_pauses: int
) -> None:
    stop = Waited()
    with pytest.raises(StudyRefused) as refused:
        fetch(Played(*failures, answers=answers), stop)
    assert refused.value.code is Code.STUDY_NOT_FETCHED
    assert len(stop.pauses) == n_pauses


def test_a_pacs_that_stays_away_ends_the_batch_after_its_patience(fetch: Callable[..., list[str]]) -> None:
    stop = Waited()
    with pytest.raises(SetupRefused, match="archive") as refused:
        fetch(Played(*[AWAY] * 50), stop)
    assert refused.value.code is Code.PACS_UNREACHABLE
    assert PATIENCE_S <= sum(stop.pauses) <= 2 * PATIENCE_S


def test_a_batch_that_is_stopped_gives_its_case_back(fetch: Callable[..., list[str]], tmp_path: Path) -> None:
    with pytest.raises(GivenBack):
        fetch(Played(AWAY), Waited(stopped=True))
    assert not (tmp_path / "room").exists()
