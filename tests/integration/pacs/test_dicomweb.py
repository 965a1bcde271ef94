"""DICOMweb of the real service: studies in, results out, runs asked for and watched."""

import json
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path

import httpx2
import pydicom
import pytest

from integration.pacs.node import tiny_study, uid_of
from integration.serving import Serving, wait_until

JSON, XML = "application/dicom+json", "application/dicom+xml"


@pytest.fixture(scope="module")
def web(serving: Serving):
    with httpx2.Client(base_url=f"{serving.url}/dicom-web", timeout=60) as client:
        yield client


def stow(web: httpx2.Client, *contents: bytes, study: str = "", accept: str = JSON) -> httpx2.Response:
    parts = b"".join(b"--B\r\nContent-Type: application/dicom\r\n\r\n" + each + b"\r\n" for each in contents)
    kind = 'multipart/related; type="application/dicom"; boundary=B'
    path = f"/studies/{study}" if study else "/studies"
    headers = {"Content-Type": kind, "Accept": accept}
    return web.post(path, content=parts + b"--B--\r\n", headers=headers)


def values(dataset: dict, tag: str) -> list:
    return dataset.get(tag, {}).get("Value", [])


def test_every_outcome_of_a_store_has_its_status_and_says_which_images(
    web: httpx2.Client, tmp_path: Path
) -> None:
    images = [path.read_bytes() for path in sorted(tiny_study(tmp_path / "ct", 400, n_slices=2).iterdir())]
    report = tiny_study(tmp_path / "mr", 401, n_slices=1, modality="MR")
    (other,) = [path.read_bytes() for path in report.iterdir()]
    uids = [str(pydicom.dcmread(BytesIO(image)).SOPInstanceUID) for image in images]
    whole = stow(web, *images)
    assert whole.status_code == 200
    assert whole.headers["content-type"] == JSON
    kept = values(whole.json(), "00081199")
    assert sorted(values(item, "00081155")[0] for item in kept) == sorted(uids)
    some = stow(web, images[0], other, b"no DICOM")
    assert some.status_code == 202
    assert len(values(some.json(), "00081199")) == 1
    (failed,) = values(some.json(), "00081198")
    assert values(failed, "00081197") == [0x0122]
    assert len(values(some.json(), "0008119A")) == 1
    none = stow(web, images[0], study="1.2.3", accept=XML)
    assert none.status_code == 409
    assert none.headers["content-type"] == XML
    tree = ET.fromstring(none.content)
    (sequence,) = tree.findall("DicomAttribute[@keyword='FailedSOPSequence']")
    reason = sequence.find("Item/DicomAttribute[@keyword='FailureReason']/Value")
    assert reason is not None
    assert reason.text == str(0xA900)
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
    assert web.post("/studies", content=b"--B", headers=kind).status_code == 400
    wrong = {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=B'}
    assert web.post("/studies", content=b"--B--", headers=wrong).status_code == 415


def test_a_study_in_several_requests_is_one_job_whose_objects_are_found_and_retrieved(
    web: httpx2.Client, serving: Serving, study: Path
) -> None:
    files = [path.read_bytes() for path in sorted(study.iterdir())]
    study_uid = uid_of(study)
    of_study = f"SELECT id FROM job WHERE study_uid = '{study_uid}'"
    for part in range(3):
        assert stow(web, *files[part::3], study=study_uid).status_code == 200

    def found() -> list[dict]:
        answer = web.get(f"/studies/{study_uid}/instances")
        return answer.json() if answer.status_code == 200 else []

    wait_until(lambda: len(found()) >= 4, within_s=180, what="the objects are there")
    assert sorted(values(each, "00080060")[0] for each in found()) == ["DOC", "OT", "SEG", "SR"]
    assert len(serving.rows(of_study)) <= 1  # none where the same study was sent before by another door
    (entry,) = web.get("/studies", params={"StudyInstanceUID": study_uid}).json()
    assert values(entry, "00201208") == [4]
    assert study_uid in [values(each, "0020000D")[0] for each in web.get("/studies").json()]
    assert len(web.get(f"/studies/{study_uid}/series").json()) == 4
    answer = web.get(
        f"/studies/{study_uid}", headers={"Accept": 'multipart/related; type="application/dicom"'}
    )
    boundary = answer.headers["content-type"].rpartition("boundary=")[2].encode()
    parts = answer.content.split(b"--" + boundary)[1:-1]
    datasets = [pydicom.dcmread(BytesIO(part.partition(b"\r\n\r\n")[2])) for part in parts]
    assert {str(each.StudyInstanceUID) for each in datasets} == {study_uid}
    assert {each.Manufacturer for each in datasets} == {"dras"}
    assert web.get("/studies/1.2.3").status_code == 404
    assert web.get("/studies/1.2.3/series").status_code == 204


def test_a_work_item_is_made_watched_and_cancelled_and_nobody_else_may_claim_it(
    web: httpx2.Client, serving: Serving, study: Path
) -> None:
    study_uid = uid_of(study)
    item = {"00404021": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": [study_uid]}}]}}
    headers = {"Content-Type": JSON}
    path = "/workitems/1.2.826.1"
    assert (
        web.post("/workitems?workitem=1.2.826.1", content=json.dumps(item), headers=headers).status_code
        == 201
    )
    assert (
        web.post("/workitems?workitem=1.2.826.1", content=json.dumps(item), headers=headers).status_code
        == 409
    )
    (shown,) = web.get(path).json()
    assert values(shown, "00741000")[0] in ("SCHEDULED", "IN PROGRESS")
    assert web.put(f"{path}/state", content=json.dumps({}), headers=headers).status_code == 409
    asked = web.post("/workitems?workitem=1.2.826.2", content=json.dumps([item]), headers=headers)
    assert asked.headers["location"].endswith("/workitems/1.2.826.2")
    assert web.post("/workitems/1.2.826.2/cancelrequest").status_code == 202

    def state(uid: str) -> str:
        return values(web.get(f"/workitems/{uid}").json()[0], "00741000")[0]

    wait_until(lambda: state("1.2.826.2") == "CANCELED", within_s=120, what="it is cancelled")
    wait_until(lambda: state("1.2.826.1") == "COMPLETED", within_s=180, what="it is done")
    (done,) = web.get(path).json()
    (performed,) = values(done, "00741216")
    assert len(values(performed, "00404033")) == 4
    assert web.post(f"{path}/cancelrequest").status_code == 409
    assert web.get("/workitems/1.2.3").status_code == 404
    unknown = json.dumps(item).replace(study_uid, "1.2.3")
    assert web.post("/workitems", content=unknown, headers=headers).status_code == 404
    assert web.post("/workitems", content=b"{}", headers=headers).status_code == 422
