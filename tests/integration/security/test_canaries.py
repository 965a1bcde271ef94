"""50 strings about a patient are planted wherever a client can put them, and looked for wherever anything is kept.

The real service, logging as much as it can, takes a study that succeeds, one that is refused, files that
are no study and requests that are wrong. Then nothing of the strings is outside of the uploaded files
themselves; and after a purge nothing of them is anywhere.
"""

import gzip
import io
import shutil
import signal
import threading
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx2
import pydicom
import pytest
from pydicom.dataset import Dataset

from dras_cli.phantoms import write_phantom
from integration.conftest import SPEC
from integration.serving import Serving, wait_until
from servers import Redis

_numbers = count(1)
CANARIES: list[str] = []


def canary(kind: str) -> str:
    """A string that stands nowhere else, in the form of what it pretends to be; 16 characters fit any element."""
    number = next(_numbers)
    text = {
        "name": f"Zyqx{number:02d}^Kanari",
        "id": f"MRNZYQX{number:02d}-4711",
        "text": f"Zyqx{number:02d} Kanari",
        "word": f"zyqx{number:02d}kanari",
    }[kind]
    CANARIES.append(text)
    return text


HEADER = {
    "PatientName": "name",
    "PatientID": "id",
    "OtherPatientNames": "name",
    "PatientBirthName": "name",
    "PatientMotherBirthName": "name",
    "PatientAddress": "text",
    "PatientTelephoneNumbers": "id",
    "PatientComments": "text",
    "AdditionalPatientHistory": "text",
    "Occupation": "text",
    "EthnicGroup": "word",
    "MilitaryRank": "word",
    "MedicalRecordLocator": "id",
    "AccessionNumber": "word",
    "StudyID": "word",
    "StudyDescription": "text",
    "SeriesDescription": "text",
    "ProtocolName": "text",
    "ImageComments": "text",
    "RequestedProcedureDescription": "text",
    "ReferringPhysicianName": "name",
    "PerformingPhysicianName": "name",
    "OperatorsName": "name",
    "NameOfPhysiciansReadingStudy": "name",
    "RequestingPhysician": "name",
    "InstitutionName": "text",
    "InstitutionAddress": "text",
    "InstitutionalDepartmentName": "text",
    "StationName": "word",
    "DeviceSerialNumber": "word",
    "IssuerOfPatientID": "word",
    "RequestAttributesSequence": "text",
    "AdmittingDiagnosesDescription": "text",
    "ReasonForStudy": "text",
    "CurrentPatientLocation": "text",
}


def plant(study: Path) -> None:
    """Write the strings into the header of every file: standard, private and nested elements."""
    values = {name: canary(kind) for name, kind in HEADER.items()}
    private, preamble = canary("name"), canary("word")
    for path in study.iterdir():
        image = pydicom.dcmread(path)
        for name, value in values.items():
            if name == "RequestAttributesSequence":
                item = Dataset()
                item.ScheduledProcedureStepDescription = value
                image.RequestAttributesSequence = [item]
            else:
                setattr(image, name, value)
        block = image.private_block(0x0011, "ZYQX", create=True)
        block.add_new(0x01, "PN", private)
        image.preamble = preamble.encode().ljust(128, b"\0")
        image.save_as(path)


def zipped(files: Iterator[Path], name: str, comment: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.comment = comment.encode()
        for number, path in enumerate(files):
            archive.write(path, f"{name}/{number}.dcm")
    return packed.getvalue()


class Scene:
    """A service, what was sent to it, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        (folder / "tmp").mkdir()
        # Where Redis is installed it is the broker, and its files lie where everything else is looked through.
        self.redis = Redis(folder / "redis") if shutil.which("redis-server") else None
        queue = {}
        if self.redis is not None:
            (folder / "redis").mkdir()
            self.redis.start()
            queue["DRAS_QUEUE__URL"] = self.redis.url
        self.serving = Serving(
            folder / "data",
            **queue,
            DRAS_LOG_LEVEL="DEBUG",
            DRAS_GATEWAY__RETRY_AFTER_S="0.1",
            DRAS_QUEUE__SWEEP_INTERVAL_S="0.2",
            TMPDIR=str(folder / "tmp"),
        )
        # The log is read as it comes: a full pipe would stop the service.
        self._stderr, self.serving.process.stderr = self.serving.process.stderr, io.StringIO()
        self._reader = threading.Thread(target=lambda: self.log.write_text(self._stderr.read()))
        self._reader.start()
        self.said: list[bytes] = []
        self.http = httpx2.Client(base_url=self.serving.url, trust_env=False, timeout=60.0)

    def ask(self, method: str, path: str, **request) -> httpx2.Response:
        answer = self.http.request(method, path, **request)
        self.said += [answer.content, str(answer.headers).encode()]
        return answer

    def stop(self) -> int:
        status = self.serving.stop()
        self._reader.join()
        self._stderr.close()
        if self.redis is not None:
            self.redis.ask("SAVE")
            self.redis.end(signal.SIGTERM)
        return status

    def kept(self, *, sources: bool) -> dict[str, bytes]:
        """All files under the service's folders, with what is packed in them; `sources` too, or not."""
        studies = self.folder / "data" / "blobs" / "studies"
        found = {}
        for path in self.folder.rglob("*"):
            if path.is_file() and (sources or not path.is_relative_to(studies)):
                found[str(path.relative_to(self.folder))] = b"".join(unpacked(path.read_bytes()))
        return found


def unpacked(content: bytes) -> Iterator[bytes]:
    """Yield the content, and what gzip or zip holds of it."""
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                yield archive.read(entry)


def found_in(content: bytes) -> set[str]:
    """Return the strings that are there, as they are, in UTF-16, or in hex."""
    lower = content.lower()
    return {
        text
        for text in CANARIES
        if any(
            form in lower
            for form in (
                text.lower().encode(),
                text.lower().encode("utf-16-le"),
                text.lower().encode().hex().encode(),
            )
        )
    }


def send_everything(scene: Scene, study: Path) -> str:
    """Send what is right and what is wrong; return the job that succeeds."""
    headers = {
        "User-Agent": canary("word"),
        "Referer": f"http://pacs/{canary('word')}",
        "X-Request-ID": canary("id"),
        "X-Patient": canary("name"),
        "Cookie": f"patient={canary('word')}",
    }
    archive = zipped(sorted(study.iterdir()), canary("name"), canary("text"))
    key = {"Idempotency-Key": canary("word")}
    parts = {"file": (f"{canary('name')}.zip", archive, "application/zip")}
    job = scene.ask("POST", "/v1/studies", files=parts, headers=headers | key).json()["id"]
    few = zipped(sorted(study.iterdir())[:2], canary("name"), "")
    refused = scene.ask(
        "POST", "/v1/studies", content=few, headers=headers | {"Content-Type": "application/zip"}
    )
    junk = canary("text").encode() * 50
    scene.ask("POST", "/v1/studies", content=junk, headers={"Content-Type": "application/octet-stream"})
    scene.ask("POST", "/v1/validate", content=archive, headers={"Content-Type": "application/zip"})
    scene.ask("POST", "/v1/validate", content=few, headers={"Content-Type": "application/zip"})
    scene.ask("POST", "/v1/validate", content=junk, headers={"Content-Type": "application/octet-stream"})
    scene.ask("POST", "/v1/studies", params={"series": canary("name")}, content=junk)
    scene.ask("POST", "/v1/studies", params={canary("word"): canary("name")}, content=junk)
    scene.ask("POST", "/v1/studies", content=junk, headers={"Content-Type": canary("word")})
    scene.ask("GET", f"/v1/jobs/{canary('name')}/result")
    scene.ask("GET", f"/v1/jobs/{job}/artifacts/{canary('name')}")
    scene.ask("GET", f"/{canary('word')}?q={CANARIES[-1]}")
    scene.ask("POST", "/v1/webhooks", json={"url": f"https://{canary('word')}.example/x"})
    for each in (job, refused.json()["id"]):
        wait_until(lambda each=each: ended(scene, each), within_s=90, what="the job ends")
        for path in ("", "/result", "/artifacts"):
            scene.ask("GET", f"/v1/jobs/{each}{path}")
    return job


def ended(scene: Scene, job: str) -> bool:
    state = scene.ask("GET", f"/v1/jobs/{job}").json()["state"]
    return state not in ("queued", "preparing", "encoding", "finishing")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("canaries")
    opened = Scene(folder)
    assert opened.serving.url, opened.stop() or opened.log.read_text()
    yield opened
    opened.http.close()
    if opened.serving.process.poll() is None:
        opened.stop()
    elif opened.redis is not None:
        opened.redis.end()


def test_nothing_about_a_patient_is_kept_or_said_anywhere_and_nothing_at_all_after_a_purge(scene, tmp_path):
    write_phantom(tmp_path / "study", SPEC)
    plant(tmp_path / "study")
    job = send_everything(scene, tmp_path / "study")
    assert len(CANARIES) >= 50
    assert scene.redis is None or any("appendonly" in name for name in scene.kept(sources=False))
    assert scene.ask("GET", f"/v1/jobs/{job}").json()["state"] == "succeeded_with_warnings"
    assert "dras_database_up 1.0" in scene.ask("GET", "/metrics").text

    sources = {
        name: found_in(content) for name, content in scene.kept(sources=True).items() if "/studies/" in name
    }
    assert set().union(*sources.values()) >= set(CANARIES[: len(HEADER)]), "the oracle must see what is there"
    leaks = {name: found_in(content) for name, content in scene.kept(sources=False).items()}
    assert {name: leak for name, leak in leaks.items() if leak} == {}
    assert set().union(*map(found_in, scene.said)) == set()

    for entry in scene.ask("GET", "/v1/jobs").json()["jobs"]:
        wait_until(lambda job=entry["id"]: ended(scene, job), within_s=90, what="the job ends")
        assert scene.ask("DELETE", f"/v1/jobs/{entry['id']}").status_code == 204
    studies = scene.folder / "data" / "blobs" / "studies"
    wait_until(
        lambda: not [path for path in studies.rglob("*") if path.is_file()], within_s=30, what="files go"
    )
    assert scene.stop() == 0
    leaks = {name: found_in(content) for name, content in scene.kept(sources=True).items()}
    assert {name: leak for name, leak in leaks.items() if leak} == {}
    assert scene.log.read_text().count("\n") > 20, "it logged as much as it can"
