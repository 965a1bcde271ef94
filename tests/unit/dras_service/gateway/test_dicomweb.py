"""DICOMweb over the results: what is found, and what is no question."""

import pytest

from dras_service.gateway.dicomweb import searching
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

    def make(study_uid: str, *instances: str | bytes) -> str:
        claim = claim_of(parts.store, study_uid=study_uid)
        with parts.blobs.workspace(claim) as room:
            (room / "out").mkdir()
            (room / "out" / "regions.csv").write_text("region")
            for number, instance in enumerate(instances):
                image = dicom_image(study_uid, instance) if isinstance(instance, str) else instance
                (room / "out" / f"{number}.dcm").write_bytes(image)
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
    "address", ["/studies?PatientID=7", "/studies?00100020=7", "/studies/1.2/series?PatientName=DOE"]
)
def test_a_filter_that_is_not_supported_is_refused_rather_than_passed_over(client, made, address):
    made("1.2", "1.2.1")
    answer = client.get(f"/dicom-web{address}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "query", "rule": "filter_not_supported"}]
    assert studies(client, StudyInstanceUID="1.2", includefield="all", fuzzymatching="true") == ["1.2"]


SR, SEG = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture
def archive(made):
    """Three studies of a report and a segmentation each, of three days; the last has the report alone."""
    for number, date in enumerate(("20260110", "20260220", ""), start=1):
        study = f"1.{number}"
        kinds = [("SR", SR), ("SEG", SEG)][: 1 if number == 3 else 2]
        made(
            study,
            *(
                dicom_image(
                    study,
                    f"{study}.{place}.9",
                    sop_class=sop_class,
                    series_uid=f"{study}.{place}",
                    modality=modality,
                    study_date=date,
                )
                for place, (modality, sop_class) in enumerate(kinds, start=1)
            ),
        )


@pytest.mark.parametrize(
    ("address", "tag", "found"),
    [
        ("/studies?ModalitiesInStudy=SEG", "0020000D", ["1.2", "1.1"]),
        ("/studies?00080061=S*&limit=1&offset=1", "0020000D", ["1.2"]),
        ("/studies?StudyDate=20260201-", "0020000D", ["1.2"]),
        ("/studies?StudyDate=-20260201", "0020000D", ["1.1"]),
        ("/studies?StudyDate=20260110-20260220&SeriesInstanceUID=1.1.2", "0020000D", ["1.1"]),
        ("/studies?StudyInstanceUID=1.1,1.3,1.9", "0020000D", ["1.1", "1.3"]),
        ("/studies?Modality=", "0020000D", ["1.3", "1.2", "1.1"]),
        ("/series?Modality=SEG", "0020000E", ["1.2.2", "1.1.2"]),
        ("/series?limit=2&offset=1", "0020000E", ["1.2.1", "1.2.2"]),
        ("/studies/1.2/series?Modality=SR%5CPR", "0020000E", ["1.2.1"]),
        ("/studies/1.2/series?StudyInstanceUID=1.1", "0020000E", []),
        (f"/instances?SOPClassUID={SEG}&StudyDate=20260110", "00080018", ["1.1.2.9"]),
        ("/instances?SOPInstanceUID=1.3.1.9", "00080018", ["1.3.1.9"]),
        ("/studies/1.1/instances?SeriesInstanceUID=1.1.2&includefield=00200013", "00080018", ["1.1.2.9"]),
        ("/studies/1.1/series/1.1.2/instances?Modality=SR", "00080018", []),
    ],
)
def test_a_search_finds_what_meets_every_filter(client, archive, address, tag, found):
    answer = client.get(f"/dicom-web{address}")
    assert answer.status_code == (200 if found else 204)
    assert [each[tag]["Value"][0] for each in (answer.json() if found else [])] == found


def test_what_is_counted_of_a_study_does_not_depend_on_the_filter(client, archive):
    (study,) = client.get("/dicom-web/studies?SeriesInstanceUID=1.1.2").json()
    assert study["00201208"]["Value"] == [2]
    assert study["00080061"]["Value"] == ["SEG", "SR"]
    assert study["00080020"]["Value"] == ["20260110"]


@pytest.mark.parametrize(
    ("asked", "field", "rule"),
    [
        ("StudyDate=yesterday", "query.StudyDate", "date"),
        ("StudyDate=-", "query.StudyDate", "date"),
        ("StudyDate=2026011020260111", "query.StudyDate", "date"),
        ("Modality=[S]R", "query.Modality", "code"),
        ("SeriesInstanceUID=1.2.*", "query.SeriesInstanceUID", "uid"),
        ("Modality=SR&00080060=SEG", "query.Modality", "repeated"),
    ],
)
def test_a_filter_without_the_form_of_its_attribute_is_refused(client, asked, field, rule):
    answer = client.get(f"/dicom-web/series?{asked}")
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"field": field, "rule": rule}])


def test_a_search_that_would_read_every_object_of_an_archive_is_refused(client, archive, monkeypatch):
    monkeypatch.setattr(searching, "MOST_READ", 2)
    answer = client.get("/dicom-web/instances?SOPInstanceUID=1.1.1.9")
    assert answer.json()["errors"] == [{"field": "query", "rule": "search_too_broad"}]
    assert client.get("/dicom-web/instances?SOPInstanceUID=1.1.1.9&StudyInstanceUID=1.1").status_code == 200


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


def work_item(study_uid: str = "1.2", **words) -> dict:
    """A data set by tags, its values as a manager sends them."""
    item = {"00404021": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": [study_uid]}}]}}
    return item | {tag.lstrip("t"): {"Value": [value]} for tag, value in words.items()}


@pytest.fixture
def worklist(client, made, parts):
    """Two items that wait and one whose run is done, each of its own study and station."""
    for study in ("1.1", "1.2", "1.3"):
        made(study, f"{study}.1")
    station = {"00080100": {"Value": ["NODE1"]}, "00080104": {"Value": ["First"]}}
    for uid, words in (
        ("2.1", {"t00741204": "Densitometry [urgent]", "t00741200": "HIGH"}),
        ("2.2", {"t00404025": station, "t00404005": "20261128101500", "t00741200": "LOW"}),
        ("2.3", {}),
    ):
        study = uid.replace("2.", "1.")
        parts.clock.now += 1
        asked = client.post(f"/dicom-web/workitems?workitem={uid}", json=work_item(study, **words))
        assert (asked.status_code, "Warning" in asked.headers) == (201, False)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", ["2.3", "2.2", "2.1"]),
        ("ProcedureStepState=SCHEDULED&limit=1&offset=1", ["2.2"]),
        ("00741000=COMPLETED", []),
        ("00741000=COMPLETED,SCHEDULED&SOPInstanceUID=2.1", ["2.1"]),
        ("ProcedureStepState=NO SUCH", []),
        ("00404021.0020000D=1.2", ["2.2"]),
        ("ProcedureStepLabel=*[urgent]", ["2.1"]),
        ("00404025.00080100=NODE?", ["2.2"]),
        ("ScheduledProcedureStepPriority=HIGH", ["2.1"]),
        ("ScheduledProcedureStepStartDateTime=20261128-20261128", ["2.2"]),
    ],
)
def test_work_items_are_found_by_what_is_known_of_them(client, worklist, asked, found):
    answer = client.get(f"/dicom-web/workitems?{asked}")
    assert answer.status_code == (200 if found else 204)
    assert [each["00080018"]["Value"][0] for each in (answer.json() if found else [])] == found


def test_a_work_item_is_changed_while_it_waits_and_then_no_more(client, worklist, parts):
    path = "/dicom-web/workitems/2.3"
    patient = {"t00100010": {"Alphabetic": "DOE^JANE"}}
    answer = client.post(path, json=[work_item(t00741200="HIGH", t00741202="Ward 5", **patient)])
    assert answer.status_code == 422  # the study of an item stays
    change = {"00741200": {"Value": ["HIGH"]}, "00741202": {"Value": ["Ward 5"]}}
    assert client.post(path, json=change).headers.get("Warning") is None
    told = client.post(path, json={"00100010": {"Value": [patient]}}).headers["Warning"]
    assert told.endswith('"The Workitem was updated with modifications."')
    (shown,) = client.get(path).json()
    assert [shown[tag]["Value"][0] for tag in ("00741200", "00741202", "00741000")] == [
        "HIGH",
        "Ward 5",
        "SCHEDULED",
    ]
    assert "DOE" not in client.get("/dicom-web/workitems").text
    for first in ("2.1", "2.3"):  # of two that are urgent, the older
        claim = parts.store.leases.claim(owner="me", lease_s=60.0)
        assert claim.job_id == parts.store.workitems.find(first, tenant="default").job.id
    answer = client.post(path, json=change)
    assert (answer.status_code, "Transaction UID" in answer.headers["Warning"]) == (409, True)
    assert client.post("/dicom-web/workitems/9.9", json=change).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{",
        "[" * 5000,
        '{"00741000": {"Value": ["COMPLETED"]}}',
        '{"00741200": {"Value": ["AT ONCE"]}}',
        '{"00741204": {"Value": ["two\\nlines"]}}',
        '{"00741204": {"Value": [7]}}',
        '{"00404005": {"Value": ["tomorrow"]}}',
    ],
)
def test_what_is_no_change_of_a_work_item_is_refused(client, worklist, body):
    answer = client.post("/dicom-web/workitems/2.1", content=body)
    assert answer.json()["errors"] == [{"field": "body", "rule": "workitem"}]


def test_a_work_item_that_a_crash_left_without_its_name_is_made_when_it_is_asked_for_again(
    client, made, parts, monkeypatch
):
    made("1.2", "1.2.1")
    with monkeypatch.context() as patched:
        patched.setattr(type(parts.store.workitems), "add", lambda *_, **__: 1 / 0)
        assert client.post("/dicom-web/workitems?workitem=1.7", json=work_item()).status_code == 500
    asked = [client.post("/dicom-web/workitems?workitem=1.7", json=work_item()).status_code for _ in range(2)]
    assert asked == [201, 409]
    assert len(parts.store.jobs.of_study("1.2", tenant="default")) == 2


def test_retrievals_and_work_items_are_recorded_with_their_job(client, made, parts):
    job = made("1.2", "1.2.1")
    client.get("/dicom-web/studies/1.2")
    asked = [client.post("/dicom-web/workitems?workitem=1.7", json=work_item()).status_code for _ in range(2)]
    assert asked == [201, 409]
    (run,) = (each.id for each in parts.store.jobs.of_study("1.2", tenant="default") if each.id != job)
    client.post("/dicom-web/workitems/1.7/cancelrequest")
    assert [(entry.action, entry.object, entry.outcome) for entry in parts.store.audit.after(0)] == [
        ("dicom.retrieve", job, "success"),
        ("workitem.create", run, "success"),
        ("workitem.create", "-", "refused"),
        ("workitem.cancel", run, "success"),
    ]
