"""Deliveries: each ends with an entry of the audit log, and none is ended by a node that does not know the way."""

import pytest

from dras_service.pacs.configuration import Configuration
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.send import delivery
from dras_service.pacs.send.dispatcher import Dispatcher
from unit.dras_service.examples import Parts, claim_of, dicom_image, study_result


@pytest.fixture
def sent_to(parts: Parts):
    """A job whose one object is to go to the systems that are named."""

    def make(*names: str, content: bytes = dicom_image("1.2", "1.2.1")) -> str:
        claim = claim_of(parts.store, send_to=names)
        with parts.blobs.workspace(claim) as room:
            (room / "out").mkdir()
            (room / "out" / "dras_sr.dcm").write_bytes(content)
            outputs = parts.blobs.keep_outputs(room / "out", claim)
        parts.store.leases.commit(claim, study_result(), outputs=outputs)
        return claim.job_id

    return make


def node(parts: Parts, *names: str) -> Dispatcher:
    peer = {"ae_title": "PACS", "addresses": ["127.0.0.1"], "host": "127.0.0.1", "port": 1}
    configuration = Configuration.model_validate(
        {"node": {"ae_title": "DRAS"}, "peers": dict.fromkeys(names, peer)}
    )
    return Dispatcher(configuration, store=parts.store, blobs=parts.blobs, settings=parts.settings.delivery)


def entries(parts: Parts) -> list[tuple[str, ...]]:
    return [
        (entry.action, entry.object, entry.actor, entry.tenant, entry.outcome)
        for entry in parts.store.audit.after(0)
    ]


def test_a_delivery_is_an_entry_of_the_audit_log(parts: Parts, sent_to, monkeypatch) -> None:
    job = sent_to("pacs")
    monkeypatch.setattr(delivery, "send_by_store", lambda *_arguments: None)
    assert node(parts, "pacs").run_once() == 1
    assert entries(parts) == [("dicom.send", job, "peer:pacs", "default", "success")]
    assert [each.done_at is not None for each in parts.store.outbox.deliveries()] == [True]


def test_what_is_given_up_is_an_entry_and_what_waits_is_none(parts: Parts, sent_to, monkeypatch) -> None:
    def fail(*_arguments: object) -> None:
        raise PeerFailed("No.", may_pass=may_pass)

    job = sent_to("pacs")
    monkeypatch.setattr(delivery, "send_by_store", fail)
    may_pass = True
    assert node(parts, "pacs").run_once() == 1
    assert entries(parts) == []
    may_pass = False
    parts.clock.now += 1e4
    assert node(parts, "pacs").run_once() == 1
    assert entries(parts) == [("dicom.send", job, "peer:pacs", "default", "failed")]


def test_a_node_leaves_what_goes_to_systems_that_it_does_not_know(parts: Parts, sent_to, monkeypatch) -> None:
    sent_to("elsewhere", "pacs")
    monkeypatch.setattr(delivery, "send_by_store", lambda *_arguments: None)
    assert node(parts, "pacs").run_once() == 1
    assert node(parts, "pacs").run_once() == 0
    assert node(parts).run_once() == 0
    waiting = [each.target for each in parts.store.outbox.deliveries() if each.done_at is None]
    assert waiting == ["elsewhere"]
    assert node(parts, "elsewhere").run_once() == 1


def test_an_object_that_is_no_dicom_ends_its_delivery_with_a_reason(parts: Parts, sent_to) -> None:
    sent_to("pacs", content=b"no image")
    assert node(parts, "pacs").run_once() == 1
    (given_up,) = parts.store.outbox.deliveries()
    assert given_up.done_at is not None
    assert given_up.fault == "An object of the result is no DICOM file."
