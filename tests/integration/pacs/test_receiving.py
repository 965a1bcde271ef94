"""The Storage SCP as a process, under DCMTK and under whoever speaks DICOM badly.

Rows N1 to N4 and S1 of the catalogue of hostile inputs are here.
"""

import os
import random
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pynetdicom import AE, _config
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context

from integration.pacs.node import Node, storescu, tiny_study, uid_of
from integration.serving import wait_until
from pacs_servers import program

# The library, which is the client here, leaves the sockets of rejected associations to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*VR UI"),
]
CT = "1.2.840.10008.5.1.4.1.1.2"
CONFIG = """
max_associations = 12
idle_timeout_s = 3.0
max_instance_mb = 4

[peers.scanner]
ae_title = "SCANNER"
addresses = ["127.0.0.1"]

[peers.elsewhere]
ae_title = "ELSEWHERE"
addresses = ["192.0.2.0/24"]

[routes.hidden]
tags = { StudyDescription = "trial" }
tenant = "trial"
deidentify = true
quiet_s = 1.0

[routes.nothing]
tags = { SeriesDescription = "^scout" }
discard = true

[routes.all]
tags = { Modality = "CT" }
quiet_s = 1.5
broken_quiet_s = 600.0
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    program("storescu")
    started = Node(tmp_path_factory.mktemp("node"), CONFIG)
    yield started
    assert started.end() == 0
    assert "Traceback" not in started.log


def wait_for_jobs(node: Node, study_uid: str, n: int, *, tenant: str = "default") -> None:
    wait_until(lambda: len(node.jobs(study_uid, tenant)) >= n, within_s=60, what=f"{n} jobs of a study")


def association(node: Node, caller: str = "SCANNER", *, contexts=(CT,)):
    entity = AE(caller)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    return entity.associate(
        "127.0.0.1", node.port, contexts=[build_context(each) for each in contexts], ae_title="DRAS"
    )


def test_eight_associations_at_once_bring_interleaved_studies_and_each_becomes_one_job(
    node: Node, tmp_path: Path
) -> None:
    studies = [tiny_study(tmp_path / str(seed), seed) for seed in range(100, 104)]
    halves = [
        (sorted(study.iterdir())[part::2]) for study in studies for part in range(2)
    ]  # two associations a study
    with ThreadPoolExecutor(8) as senders:
        done = list(senders.map(lambda files: storescu(node, *files), halves))
    assert [each.returncode for each in done] == [0] * 8
    for study in studies:
        wait_for_jobs(node, uid_of(study), 1)
    # The same once more, by one association: it is the study that is known.
    assert storescu(node, studies[0]).returncode == 0
    wait_until(lambda: not node.waiting(), within_s=60, what="the room is empty")
    for study in studies:
        (job,) = node.jobs(uid_of(study))
        assert node.n_files(job) == 6


def test_every_syntax_is_kept_as_it_was_sent(node: Node, tmp_path: Path) -> None:
    """Bytes, not pixels: the data set at rest is the one that was sent."""
    syntaxes = {
        "1.2.840.10008.1.2": ["-xi"],
        "1.2.840.10008.1.2.2": ["-xb"],
        "1.2.840.10008.1.2.4.90": ["-xv"],
        "1.2.840.10008.1.2.4.80": ["-xt"],
    }
    for number, (syntax, option) in enumerate(syntaxes.items()):
        study = tiny_study(tmp_path / syntax, 120 + number, n_slices=2, transfer_syntax=syntax)
        assert storescu(node, study, options=option).returncode == 0
        wait_for_jobs(node, uid_of(study), 1)
        (job,) = node.jobs(uid_of(study))
        kept = [pydicom.dcmread(path) for path in sorted((node.data / "blobs/studies").rglob("*.dcm"))]
        mine = [image for image in kept if image.StudyInstanceUID == uid_of(study)]
        assert {str(image.file_meta.TransferSyntaxUID) for image in mine} == {syntax}
        sent = {pydicom.dcmread(path).PixelData for path in study.iterdir()}
        assert {image.PixelData for image in mine} == sent
        assert node.n_files(job) == 2


def test_n1_a_sop_instance_uid_that_is_none_never_becomes_a_path(node: Node, tmp_path: Path) -> None:
    study = tiny_study(tmp_path / "study", 130, n_slices=1)
    image = study / "IM0000.dcm"
    assert _raw_store(node, image, "../../../tmp/escaped") == 0x0117
    assert _raw_store(node, image, "1." + "9" * 298) == 0x0117
    assert _raw_store(node, image, "1.2.3") == 0xA900  # the data set has the image's own
    assert not Path("/tmp/escaped").exists()
    assert node.process.poll() is None
    assert not list(node.folder.rglob("*escaped*"))


def _raw_store(node: Node, image: Path, name: str) -> int | None:
    """Send a C-STORE whose command names `name`, which no library would."""

    original = pydicom.dcmread(image)
    link = association(node)
    before = _config.VALIDATORS["UI"]
    _config.VALIDATORS["UI"] = lambda _value: (True, "")
    try:
        request = C_STORE()
        request.MessageID = 7
        request.AffectedSOPClassUID = CT
        request.AffectedSOPInstanceUID = name
        request.Priority = 2
        context = link.accepted_contexts[0]
        syntax = context.transfer_syntax[0]
        request.DataSet = BytesIO(encode(original, syntax.is_implicit_VR, syntax.is_little_endian))
        link._reactor_checkpoint.clear()  # the answer is ours, not the association's own thread's
        wait_until(lambda: link._is_paused, within_s=30, what="the library's thread waits")
        link.dimse.send_msg(request, context.context_id)
        _, answer = link.dimse.get_msg(block=True)
        return None if answer is None else answer.Status
    finally:
        _config.VALIDATORS["UI"] = before
        link._reactor_checkpoint.set()
        link.abort()


def test_n2_whoever_is_not_known_is_rejected_and_who_waits_is_cut_off(node: Node) -> None:
    for caller in ("STRANGER", "ELSEWHERE"):  # the second is known at another address
        assert association(node, caller).is_rejected
    wrong = subprocess.run(
        [program("echoscu"), "-aet", "SCANNER", "-aec", "OTHER", "127.0.0.1", str(node.port)],
        capture_output=True,
        check=False,
    )
    assert wrong.returncode != 0
    right = subprocess.run(
        [program("echoscu"), "-aet", "SCANNER", "-aec", "DRAS", "127.0.0.1", str(node.port)],
        capture_output=True,
        check=False,
    )
    assert right.returncode == 0, right.stderr
    links = [association(node) for _ in range(14)]
    # Those of before may not have ended yet, and count.
    assert 8 <= sum(link.is_established for link in links) <= 12
    assert any(link.is_rejected for link in links)
    for link in links:
        if link.is_established:
            link.release()
    silent = socket.create_connection(("127.0.0.1", node.port))
    endless = socket.create_connection(("127.0.0.1", node.port))
    endless.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + b"\0" * 4096)
    before = node.resident_bytes
    for connection in (endless, silent):
        connection.settimeout(30)
        while True:
            try:
                if not connection.recv(4096):
                    break
            except ConnectionResetError:
                break
        connection.close()
    assert node.resident_bytes - before < 64 << 20
    wait_until(lambda: association(node).is_established, within_s=30, what="the node takes the next")


def test_n3_a_study_that_was_cut_off_and_is_sent_again_is_one_job(node: Node, tmp_path: Path) -> None:
    study = tiny_study(tmp_path / "study", 140, n_slices=8)
    files = sorted(study.iterdir())
    link = association(node)
    for path in files[:3]:
        assert link.send_c_store(pydicom.dcmread(path)).Status == 0
    link.abort()
    marks = node.data / "gathering"
    wait_until(lambda: bool(list(marks.glob("*/studies/*/broken-*"))), within_s=30, what="it is marked")
    assert storescu(node, study).returncode == 0
    wait_for_jobs(node, uid_of(study), 1)
    wait_until(lambda: not node.waiting(), within_s=60, what="the room is empty")
    (job,) = node.jobs(uid_of(study))
    assert node.n_files(job) == 8


def test_n4_a_late_slice_makes_a_new_version_with_all_of_them(node: Node, tmp_path: Path) -> None:
    study = tiny_study(tmp_path / "study", 150, n_slices=5)
    files = sorted(study.iterdir())
    assert storescu(node, *files[:4]).returncode == 0
    wait_for_jobs(node, uid_of(study), 1)
    assert storescu(node, files[4]).returncode == 0
    wait_for_jobs(node, uid_of(study), 2)
    latest, first = node.jobs(uid_of(study))
    assert (node.n_files(first), node.n_files(latest)) == (4, 5)
    assert first.study_key != latest.study_key


def test_s1_two_patients_under_one_study_uid_stay_one_study_that_the_reader_refuses(
    node: Node, tmp_path: Path
) -> None:
    from dras_model.inspecting import inspect  # noqa: PLC0415 - only here
    from dras_model.results.errors import StudyRefused  # noqa: PLC0415 - only here

    def other(image: pydicom.Dataset, _index: int) -> None:
        image.PatientID, image.PatientName = "OTHER", "OTHER^PERSON"

    one = tiny_study(tmp_path / "one", 160, n_slices=13)
    two = tiny_study(tmp_path / "two", 160, n_slices=13, series_number=2, edit=other)
    assert uid_of(one) == uid_of(two)
    assert storescu(node, one, two).returncode == 0
    wait_for_jobs(node, uid_of(one), 1)
    (job,) = node.jobs(uid_of(one))
    folder = (
        node.data / "blobs/studies/default" / job.study_key.split("/")[1][:2] / job.study_key.split("/")[1]
    )
    with pytest.raises(StudyRefused) as refused:
        inspect(folder)
    assert refused.value.code == "MIXED_PATIENT"


def test_what_is_no_ct_is_answered_with_success_and_begins_no_study(node: Node, tmp_path: Path) -> None:
    """A PACS that routes everything on must not fail over a report, and no result of ours may come round again."""
    study = tiny_study(tmp_path / "mr", 170, n_slices=2, modality="MR")
    assert storescu(node, study).returncode == 0
    scout = tiny_study(tmp_path / "scout", 171, n_slices=1, description="Scout view")
    assert storescu(node, scout).returncode == 0
    assert not node.waiting() or uid_of(study) not in node.log
    assert node.jobs(uid_of(study)) == node.jobs(uid_of(scout)) == ()
    assert not list((node.data / "gathering").glob("*/arriving/*"))


def test_a_route_that_hides_who_it_is_keeps_what_scores_need_and_nothing_of_the_patient(
    node: Node, tmp_path: Path
) -> None:
    def named(image: pydicom.Dataset, _index: int) -> None:
        image.StudyDescription = "Trial 7"
        image.PatientName, image.PatientID = "Zyqx^Kanari", "MRN-ZYQX"
        image.add_new(0x00091001, "LO", "private Zyqx")
        image.InstitutionName = "Zyqx hospital"

    study = tiny_study(tmp_path / "study", 180, edit=named)
    assert storescu(node, study).returncode == 0
    original = uid_of(study)
    shelf = node.data / "blobs/studies/trial"
    wait_until(lambda: len(list(shelf.rglob("*.dcm"))) == 6, within_s=60, what="the study is kept")
    kept = list(shelf.rglob("*.dcm"))
    assert not [path for path in kept if re.search(rb"(?i)zyqx|kanari", path.read_bytes())]
    images = [pydicom.dcmread(path) for path in kept]
    sent = [pydicom.dcmread(path) for path in study.iterdir()]
    assert {image.PixelData for image in images} == {image.PixelData for image in sent}
    assert len({image.PatientID for image in images}) == 1
    assert len({image.StudyInstanceUID for image in images}) == 1
    assert images[0].StudyInstanceUID != original
    wait_for_jobs(node, images[0].StudyInstanceUID, 1, tenant="trial")
    (job,) = node.jobs(images[0].StudyInstanceUID, "trial")
    assert node.n_files(job) == 6
    assert node.jobs(original, "trial") == ()
    assert {image.PatientIdentityRemoved for image in images} == {"YES"}
    assert {str(image.ImagePositionPatient) for image in images} == {
        str(image.ImagePositionPatient) for image in sent
    }


def test_what_was_acknowledged_survives_kill_9_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    program("storescu")
    node = Node(tmp_path, CONFIG.replace("broken_quiet_s = 600.0", "broken_quiet_s = 1.6"))
    try:
        study = tiny_study(tmp_path / "study", 190, n_slices=10)
        link = association(node)
        acknowledged = 0
        for path in sorted(study.iterdir()):
            acknowledged += link.send_c_store(pydicom.dcmread(path)).Status == 0
        os.kill(node.process.pid, signal.SIGKILL)
        node.end()
        link.abort()
        assert acknowledged == 10
        assert len(node.waiting()) == 10
        node.start()
        wait_for_jobs(node, uid_of(study), 1)
        (job,) = node.jobs(uid_of(study))
        assert node.n_files(job) == 10
        wait_until(lambda: not node.waiting(), within_s=60, what="the room is empty")
    finally:
        node.end()


def test_tls_and_a_disk_below_its_reserve(tmp_path: Path) -> None:
    """A client without TLS gets nowhere; one with it is told 0xA700, and nothing half stored stays."""
    certificate, key = _self_signed(tmp_path)
    tls = f'tls = {{ certificate = "{certificate}", key = "{key}" }}'
    node = Node(tmp_path, f"{tls}\n{CONFIG}", DRAS_GATEWAY__LEAST_FREE_BYTES=str(1 << 60))
    try:
        study = tiny_study(tmp_path / "study", 210, n_slices=1)
        encrypted = ["+tla", "+cf", str(certificate)]
        sent = storescu(node, study, options=[*encrypted, "-v"])
        assert "Refused: OutOfResources" in sent.stdout + sent.stderr  # DCMTK's words for 0xA7xx
        assert storescu(node, study).returncode != 0
        assert node.waiting() == []
        assert not list(node.data.glob("gathering/*/arriving/*"))
    finally:
        assert node.end() == 0


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def test_garbage_of_every_kind_never_ends_the_listener(node: Node, tmp_path: Path) -> None:
    """PDUs cut, flipped, repeated and endless, from a good association's own bytes; it takes a study after."""
    chance = random.Random(4)
    good = _recorded_association(node, tiny_study(tmp_path / "one", 200, n_slices=1))
    for round_ in range(60):
        stream = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(stream))
            kind = chance.randrange(4)
            if kind == 0:
                stream[place] ^= 1 << chance.randrange(8)
            elif kind == 1:
                del stream[place : place + chance.randint(1, 200)]
            elif kind == 2:
                stream[place:place] = chance.randbytes(chance.randint(1, 200))
            else:
                stream[place : place + 4] = b"\xff\xff\xff\xff"
            if not stream:
                break
        with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
            try:
                connection.sendall(stream)
                if round_ % 3:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
    assert node.process.poll() is None
    study = tiny_study(tmp_path / "two", 201, n_slices=2)
    wait_until(lambda: storescu(node, study).returncode == 0, within_s=60, what="a good study is taken")
    wait_for_jobs(node, uid_of(study), 1)


def _recorded_association(node: Node, study: Path) -> bytes:
    """What a client sends to store one image, taken from the wire by a relay."""
    recorded = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as relay, ThreadPoolExecutor(3) as pool:
        port = relay.getsockname()[1]

        def pump(source: socket.socket, target: socket.socket, copy: bytearray | None) -> None:
            while block := source.recv(65536):
                if copy is not None:
                    copy.extend(block)
                target.sendall(block)
            target.shutdown(socket.SHUT_WR)

        def serve() -> None:
            client, _ = relay.accept()
            with client, socket.create_connection(("127.0.0.1", node.port)) as upstream:
                back = pool.submit(pump, upstream, client, None)
                pump(client, upstream, recorded)
                back.result()

        served = pool.submit(serve)
        command = [program("storescu"), "-aet", "SCANNER", "-aec", "DRAS", "127.0.0.1", str(port)]
        subprocess.run([*command, *map(str, study.iterdir())], check=True, capture_output=True)
        served.result(30)
    return bytes(recorded)
