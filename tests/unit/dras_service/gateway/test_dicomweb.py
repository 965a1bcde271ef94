"""DICOMweb over the results: what is found, and what is no question."""

import pytest

from dras_service.gateway.dicomweb.storing import Stored
from dras_service.header import SOP_CLASS, SOP_INSTANCE, Header
from unit.dras_service.examples import claim_of, dicom_image, study_result


@pytest.mark.parametrize(
    "address",
    [
        "/studies?offset=99999999999999999999",
        "/studies?StudyInstanceUID=%00",
        "/studies?StudyInstanceUID=1.2.3%00",
        "/studies?StudyInstanceUID=1.2.*",
        "/studies/%00/series",
        "/studies/1.2/series/%00/instances",
        "/workitems/%00",
    ],
)
def test_what_no_database_takes_is_refused_before_it_is_asked(client, address):
    answer = client.get(f"/dicom-web{address}")
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER")


@pytest.fixture
def made(parts):
    """Finish a run on a study, with an object or without one; return its job."""

    def make(study_uid: str, *instances: str) -> str:
        claim = claim_of(parts.store, study_uid=study_uid)
        with parts.blobs.workspace(claim) as room:
            (room / "out").mkdir()
            (room / "out" / "regions.csv").write_text("region")
            for number, instance in enumerate(instances):
                (room / "out" / f"{number}.dcm").write_bytes(dicom_image(study_uid, instance))
            outputs = parts.blobs.keep_outputs(room / "out", claim)
        parts.store.leases.commit(claim, study_result(), outputs=outputs)
        parts.clock.now += 1
        return claim.job_id

    return make


def studies(client, **asked) -> list[str]:
    answer = client.get("/dicom-web/studies", params=asked)
    return [each["0020000D"]["Value"][0] for each in answer.json()] if answer.status_code == 200 else []


def test_a_page_holds_studies_that_have_objects_and_no_gaps(client, made):
    for number in range(1, 4):
        made(f"1.2.{number}", f"1.2.{number}.1")
        made(f"1.9.{number}")
    assert studies(client, limit=2) == ["1.2.3", "1.2.2"]
    assert studies(client, limit=2, offset=2) == ["1.2.1"]


def test_an_object_of_a_run_that_was_repeated_is_found_once(client, made):
    made("1.2", "1.2.1", "1.2.2")
    made("1.2", "1.2.1", "1.2.2")
    found = client.get("/dicom-web/studies/1.2/instances").json()
    assert sorted(each["00080018"]["Value"][0] for each in found) == ["1.2.1", "1.2.2"]
    assert len(client.get("/dicom-web/studies/1.2/instances?limit=1&offset=1").json()) == 1
    assert client.get("/dicom-web/studies/1.2").content.count(b"DICM") == 2


@pytest.mark.parametrize(
    "address", ["/studies?PatientID=7", "/studies?00100020=7", "/studies/1.2/series?Modality=SR"]
)
def test_a_filter_that_is_not_supported_is_refused_rather_than_passed_over(client, made, address):
    made("1.2", "1.2.1")
    answer = client.get(f"/dicom-web{address}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "query", "rule": "filter_not_supported"}]
    assert studies(client, StudyInstanceUID="1.2", includefield="all", fuzzymatching="true") == ["1.2"]


def test_an_object_that_is_purged_while_it_is_looked_up_is_not_there(client, made, parts, monkeypatch):
    def gone(*_arguments):
        raise FileNotFoundError

    made("1.2", "1.2.1")
    monkeypatch.setattr(type(parts.blobs), "output_path", gone)
    assert client.get("/dicom-web/studies/1.2").status_code == 404
    assert client.get("/dicom-web/studies/1.2/series").status_code == 204


def test_what_has_not_the_form_of_a_uid_is_not_given_back():
    dataset = Stored(failed=[(Header("", {SOP_INSTANCE: "DOE^JANE", SOP_CLASS: "1.2"}), 1)]).dataset()
    (item,) = dataset["FailedSOPSequence"]
    assert (item["ReferencedSOPInstanceUID"], item["ReferencedSOPClassUID"]) == ([], ["1.2"])


def test_retrievals_and_work_items_are_recorded_with_their_job(client, made, parts):
    job = made("1.2", "1.2.1")
    client.get("/dicom-web/studies/1.2")
    item = {"00404021": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]}}
    asked = [client.post("/dicom-web/workitems?workitem=1.7", json=item).status_code for _ in range(2)]
    assert asked == [201, 409]
    (run,) = (each.id for each in parts.store.jobs.of_study("1.2", tenant="default") if each.id != job)
    client.post("/dicom-web/workitems/1.7/cancelrequest")
    assert [(entry.action, entry.object, entry.outcome) for entry in parts.store.audit.after(0)] == [
        ("dicom.retrieve", job, "success"),
        ("workitem.create", run, "success"),
        ("workitem.create", "-", "refused"),
        ("workitem.cancel", run, "success"),
    ]
