"""From a real Orthanc through the real service and back: results lie beside their study, once."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from dras_cli.main import main
from integration.pacs.node import Node, storescu, tiny_study, uid_of
from integration.serving import Serving, wait_until
from pacs_servers import PLUGIN, Orthanc, program
from servers import free_port

OBJECTS = {"SR": 1, "SEG": 1, "OT": 1, "DOC": 1}


def config(orthanc: Orthanc) -> str:
    stow = f"""
[peers.web]
ae_title = "WEB"
addresses = ["192.0.2.1"]
dicomweb = "{orthanc.dicomweb}"
allow_http = true
send_by = "stow"
"""
    return f"""
[peers.orthanc]
ae_title = "ORTHANC"
addresses = ["127.0.0.1"]
host = "127.0.0.1"
port = {orthanc.dicom_port}

[peers.scanner]
ae_title = "SCANNER"
addresses = ["127.0.0.1"]

[peers.gone]
ae_title = "GONE"
addresses = ["192.0.2.2"]
host = "127.0.0.1"
port = {free_port()}
timeout_s = 2.0
{stow if PLUGIN.exists() else ""}
[routes.lost]
callers = ["scanner"]
quiet_s = 1.0
send_to = ["gone"]

[routes.back]
callers = ["orthanc"]
expect_from = "orthanc"
quiet_s = 1.0
send_to = ["orthanc"{', "web"' if PLUGIN.exists() else ""}]
"""


@pytest.fixture(scope="module")
def node(serving: Serving, orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    program("storescu")
    started = Node(
        tmp_path_factory.mktemp("node"),
        config(orthanc),
        data=serving.data,
        DRAS_DELIVERY__FIRST_PAUSE_S="0.1",
        DRAS_DELIVERY__MAX_ATTEMPTS="3",
    )
    orthanc.knows("dras", "DRAS", started.port)
    yield started
    assert started.end() == 0
    assert "Traceback" not in started.log


@pytest.fixture(scope="module")
def scan(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study under a UID of its own: other modules send it to the same service."""
    folder = tmp_path_factory.mktemp("scan") / "study"
    folder.mkdir()
    for path in study.iterdir():
        image = pydicom.dcmread(path)
        image.StudyInstanceUID = f"{image.StudyInstanceUID[:50]}.7"
        image.save_as(folder / path.name)
    return folder


def deliveries(node: Node, capsys: pytest.CaptureFixture[str]) -> list[dict]:
    capsys.readouterr()
    assert main(["pacs", "deliveries", "--data", str(node.data), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def counts(orthanc: Orthanc, study_uid: str) -> dict[str, int]:
    found = {modality: len(images) for modality, images in orthanc.series(study_uid).items()}
    found.pop("CT", None)
    return found


def test_results_appear_beside_the_study_by_both_ways_once_and_never_come_round(
    node: Node, orthanc: Orthanc, scan: Path, tmp_path: Path, capsys
) -> None:
    orthanc.keep(scan)
    study_uid = uid_of(scan)
    orthanc.send("dras", study_uid)
    wait_until(lambda: counts(orthanc, study_uid) == OBJECTS, within_s=180, what="results are there")
    ways = 2 if PLUGIN.exists() else 1
    wait_until(
        lambda: sum(each["state"] == "sent" for each in deliveries(node, capsys)) == ways,
        within_s=60,
        what="both deliveries are made",
    )
    (job,) = node.jobs(study_uid)
    assert job.options == {"dicom": True}
    for modality, (instance,) in (
        (name, images) for name, images in orthanc.series(study_uid).items() if name != "CT"
    ):
        path = tmp_path / f"{modality}.dcm"
        path.write_bytes(orthanc.file(instance))
        done = subprocess.run(
            [program("dciodvfy"), path], capture_output=True, text=True, errors="replace", check=False
        )
        assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
    # As a PACS does that sends everything on: the whole study again, results and all.
    orthanc.send("dras", study_uid)
    wait_until(lambda: not node.waiting(), within_s=60, what="the room is empty")
    assert len(node.jobs(study_uid)) == 1
    assert counts(orthanc, study_uid) == OBJECTS
    assert len(deliveries(node, capsys)) == ways


def test_what_cannot_be_sent_is_tried_again_and_given_up_with_a_reason(
    node: Node, scan: Path, tmp_path: Path, capsys
) -> None:
    """The study is one that was computed: its job goes to a further system, which is not there."""
    assert storescu(node, scan).returncode == 0
    study_uid = uid_of(scan)

    def given_up() -> list[dict]:
        return [each for each in deliveries(node, capsys) if each["target"] == "gone" and each["done_at"]]

    wait_until(lambda: bool(given_up()), within_s=180, what="it is given up")
    (lost,) = given_up()
    assert lost["attempts"] == 3
    assert "cannot be reached" in lost["fault"]
    assert len(node.jobs(study_uid)) == 1
    assert main(["pacs", "deliveries", "--data", str(node.data), "--resend", str(lost["id"])]) == 0
    wait_until(lambda: bool(given_up()), within_s=60, what="it is given up again")


def test_a_study_that_is_refused_sends_nothing(node: Node, orthanc: Orthanc, tmp_path: Path, capsys) -> None:
    short = tiny_study(tmp_path / "short", 300, n_slices=5)
    before = len(deliveries(node, capsys))
    orthanc.keep(short)
    orthanc.send("dras", uid_of(short))

    def ended() -> bool:
        return any(job.state.is_terminal for job in node.jobs(uid_of(short)))

    wait_until(ended, within_s=120, what="the job has ended")
    assert node.jobs(uid_of(short))[0].code == "TOO_FEW_SLICES"
    assert len(deliveries(node, capsys)) == before
    assert counts(orthanc, uid_of(short)) == {}
