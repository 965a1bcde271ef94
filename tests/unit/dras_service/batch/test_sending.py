"""Results of a batch on their way to a PACS that is played by a function; `integration.batch` meets a real one."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from dras_service.batch.cases import Case, Done
from dras_service.batch.deliveries import Deliveries, KnownStudy, SendCounts
from dras_service.batch.job import Send
from dras_service.batch.ledger import Ledger
from dras_service.batch.sending import Sender
from dras_service.errors import CannotServe
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.send import delivery
from unit.dras_service.batch.conftest import study
from unit.dras_service.examples import dicom_image

PEERS = """
[peers.pacs]
ae_title = "PACS"
addresses = ["127.0.0.1"]
host = "127.0.0.1"
port = 104
"""


@pytest.fixture
def send(tmp_path: Path) -> Send:
    (tmp_path / "pacs.toml").write_text(PEERS)
    return Send(config=tmp_path / "pacs.toml", to=("pacs",), what=("sr", "seg"), patience_s=0.0)


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """Let a PACS take what is sent, or fail in a way; return what it was sent."""

    def play(failure: PeerFailed | None = None) -> list[tuple[str, ...]]:
        taken: list[tuple[str, ...]] = []

        def store(_node: object, _peer: object, files: list[Path]) -> None:
            if failure is not None:
                raise failure
            taken.append(tuple(f"{path.parent.name}/{path.name}" for path in files))

        monkeypatch.setattr(delivery, "send_by_store", store)
        return taken

    return play


def finish(ledger: Ledger, results: Path) -> Case:
    """Compute the next case: leave its objects and say so."""
    case = ledger.next_case()
    assert case is not None
    (results / case.name).mkdir(parents=True, exist_ok=True)
    for name in ("result.json", "dras_sr.dcm", "dras_seg.dcm", "dras_map.dcm"):
        (results / case.name / name).write_bytes(
            dicom_image("1.2", f"{case.name.encode().hex()[:8]}.{len(name)}")
        )
    ledger.end(case, Done("succeeded"))
    return case


def send_all(send: Send, ledger: Ledger, results: Path, *, again: bool = False) -> SendCounts | None:
    with Sender(send, ledger, results, again=again) as sender:
        sender.finish(Event())
    return Deliveries(ledger).counts()


def test_each_result_is_sent_once_and_a_new_one_of_the_same_case_again(
    send: Send, ledger: Ledger, tmp_path: Path, pacs
) -> None:
    taken, results = pacs(), tmp_path / "cases"
    ledger.take_in([study("a"), study("b")], "recipe")
    a, b = finish(ledger, results), finish(ledger, results)
    for _ in range(2):
        assert send_all(send, ledger, results) == SendCounts(sent=2)
    assert taken == [(f"{case.name}/dras_sr.dcm", f"{case.name}/dras_seg.dcm") for case in (a, b)]
    ledger.take_in([study("a", "2")], "recipe")
    finish(ledger, results)
    assert send_all(send, ledger, results) == SendCounts(sent=2)
    assert [files[0] for files in taken[2:]] == [f"{a.name}/dras_sr.dcm"]
    (known,) = Deliveries(ledger).known_at("pacs").values()
    assert (
        known.n_ours == 4
    )  # two objects of each study: those of the new result have the UIDs of the earlier


def test_a_system_that_is_away_leaves_the_result_waiting_for_the_next_run(
    send: Send, ledger: Ledger, tmp_path: Path, pacs
) -> None:
    pacs(PeerFailed("The system cannot be reached."))
    results = tmp_path / "cases"
    ledger.take_in([study("a")], "recipe")
    finish(ledger, results)
    assert send_all(send, ledger, results) == SendCounts(waiting=1)
    (unsent,) = Deliveries(ledger).unsent()
    assert (unsent.fault, unsent.given_up) == ("The system cannot be reached.", False)
    taken = pacs()
    ledger.connection.execute("UPDATE deliveries SET not_before = 0")
    assert send_all(send, ledger, results) == SendCounts(sent=1)
    assert len(taken) == 1


def test_what_a_system_refuses_is_given_up_with_a_reason_and_taken_up_when_that_is_asked(
    send: Send, ledger: Ledger, tmp_path: Path, pacs
) -> None:
    pacs(PeerFailed("The system answered with status 0x0122.", may_pass=False))
    results = tmp_path / "cases"
    ledger.take_in([study("a")], "recipe")
    case = finish(ledger, results)
    for _ in range(2):
        assert send_all(send, ledger, results) == SendCounts(given_up=1)
    assert Deliveries(ledger).unsent() == (
        (case.name, "pacs", "The system answered with status 0x0122.", True),
    )
    pacs()
    assert send_all(send, ledger, results, again=True) == SendCounts(sent=1)


def test_a_result_that_came_while_an_earlier_one_was_sent_waits_for_its_own_delivery(
    ledger: Ledger, tmp_path: Path
) -> None:
    deliveries, results = Deliveries(ledger), tmp_path / "cases"
    ledger.take_in([study("a")], "recipe")
    finish(ledger, results)
    deliveries.plan(["pacs"])
    earlier = deliveries.next_due(["pacs"])
    assert earlier is not None
    ledger.take_in([study("a", "2")], "recipe")
    deliveries.plan(["pacs"], case_id=finish(ledger, results).id)
    deliveries.sent(earlier)
    assert deliveries.counts() == SendCounts(waiting=1)


@pytest.mark.parametrize(("n_there", "n_images"), [(60, 60), (62, 60), (64, 60), (66, 62), (58, 54)])
def test_what_was_sent_to_a_pacs_makes_no_study_there_another(n_there: int, n_images: int) -> None:
    assert KnownStudy(60, 4).n_images_of(n_there) == n_images


def test_a_ledger_from_before_deliveries_is_read_as_one_that_sent_nothing(ledger: Ledger) -> None:
    assert Deliveries(ledger).counts() is None
    assert Deliveries(ledger).unsent() == ()
    with pytest.raises(sqlite3.OperationalError):
        ledger.connection.execute("SELECT * FROM deliveries")


def test_a_system_that_pacs_toml_does_not_know_ends_the_batch_before_it_begins(
    send: Send, ledger: Ledger, tmp_path: Path
) -> None:
    with pytest.raises(CannotServe, match="No such peer"):
        Sender(send.model_copy(update={"to": ("archive",)}), ledger, tmp_path)
