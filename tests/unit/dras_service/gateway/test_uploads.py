import asyncio
import json

import pytest

from dras_service.api.problems import MEDIA_TYPE
from dras_service.gateway.app import create_app
from dras_service.settings import GatewaySettings
from dras_service.store.errors import StorageFull, StoreUnavailable
from integration.serving import wait_until
from unit.dras_service.examples import Parts, find

ZIP = "application/zip"


def files_in(parts):
    return [path for path in parts.settings.blob_folder.rglob("*") if path.is_file()]


def check_problem(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["status"] == status


def upload_by_hand(parts, *, chunks, headers=(), content_type=ZIP, then="http.disconnect", limits=None):
    """Speak ASGI, to say what no client library would; return status and body of the answer."""
    settings = parts.settings.model_copy(update={"gateway": limits or parts.settings.gateway})
    app = create_app(store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=settings)
    sent = []

    async def speak():
        queue = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

        async def receive():
            if queue:
                return queue.pop(0)
            if then == "silence":
                await asyncio.sleep(3600)
            return {"type": then}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/studies",
            "raw_path": b"/v1/studies",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "headers": [(b"host", b"test"), (b"content-type", content_type.encode()), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await app(scope, receive, send)

    asyncio.run(speak())
    return sent[0]["status"], json.loads(sent[1]["body"])["code"]


def test_an_upload_is_stored_queued_hinted_and_answered_with_its_address(client, parts):
    answer = client.post("/v1/studies?series=1.2.3", content=b"PK some zip", headers={"Content-Type": ZIP})
    assert answer.status_code == 202
    job = find(parts.store, answer.json()["id"])
    assert answer.headers["Location"] == f"/v1/jobs/{job.id}"
    assert answer.json()["state"] == "queued"
    assert job.series_uid == "1.2.3"
    assert parts.blobs.study_path(job.study_key).read_bytes() == b"PK some zip"
    wait_until(lambda: parts.hints.sent == [job.id], within_s=5, what="the hint is sent")


def test_a_body_of_many_blocks_arrives_whole(client, parts):
    content = bytes(range(256)) * 20_000
    answer = client.post("/v1/studies", content=content, headers={"Content-Type": ZIP})
    job = find(parts.store, answer.json()["id"])
    assert parts.blobs.study_path(job.study_key).read_bytes() == content


def test_a_form_of_more_than_a_thousand_files_is_taken(client, parts):
    files = [("file", (f"{number}", b"%d" % number)) for number in range(1, 1201)]
    answer = client.post("/v1/studies", files=files)
    folder = parts.blobs.study_path(find(parts.store, answer.json()["id"]).study_key)
    assert sorted(int(path.read_bytes()) for path in folder.iterdir()) == list(range(1, 1201))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\..\\b", "Doe^Jane.dcm", "x" * 300])
def test_a_name_that_was_sent_never_reaches_the_disk(client, parts, name):
    answer = client.post("/v1/studies", files=[("file", (name, b"1")), ("file", (name, b"2"))])
    folder = parts.blobs.study_path(find(parts.store, answer.json()["id"]).study_key)
    assert sorted(path.name for path in folder.iterdir()) == ["000001.dcm", "000002.dcm"]
    assert len(files_in(parts)) == 2


def test_a_form_with_one_file_is_that_file(client, parts):
    answer = client.post("/v1/studies", files={"file": ("study.zip", b"PK zip")})
    assert parts.blobs.study_path(find(parts.store, answer.json()["id"]).study_key).read_bytes() == b"PK zip"


def test_fields_of_a_form_that_are_no_files_are_ignored(client, parts):
    answer = client.post("/v1/studies", files={"file": ("a", b"1")}, data={"comment": "hello"})
    assert answer.status_code == 202
    assert len(files_in(parts)) == 1


def test_every_part_of_a_related_body_is_a_file(client, parts):
    body = (
        b"\r\n--edge\r\nContent-Type: application/dicom\r\n\r\none\r\n"
        b"--edge\r\nContent-Type: application/dicom\r\n\r\ntwo\r\n--edge--\r\nepilogue"
    )
    content_type = 'multipart/related; type="application/dicom"; boundary="edge"'
    answer = client.post("/v1/studies", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 202
    assert sorted(path.read_bytes() for path in files_in(parts)) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", ZIP),
        (b"", None),
        (b"PK\x05\x06" + bytes(18), ZIP),
        (b"--edge--\r\n", "multipart/form-data; boundary=edge"),
        (
            b'--edge\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n\r\n--edge--\r\n',
            "multipart/form-data; boundary=edge",
        ),
    ],
    ids=[
        "no byte",
        "no byte, no type",
        "zip without entries",
        "form without parts",
        "form with an empty file",
    ],
)
def test_an_upload_without_content_is_refused(client, parts, content, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.post("/v1/studies", content=content, headers=headers)
    check_problem(answer, 400, "EMPTY_UPLOAD")
    assert files_in(parts) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json"},
        {"Content-Type": "multipart/mixed; boundary=a"},
        {"Content-Type": "zip"},
        {"Content-Type": ZIP, "Content-Encoding": "gzip"},
        {"Content-Type": ZIP, "Content-Encoding": "nonsense"},
    ],
    ids=str,
)
def test_a_body_of_another_kind_is_refused(client, parts, headers):
    check_problem(client.post("/v1/studies", content=b"abc", headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert files_in(parts) == []


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        ("; boundary=edge", b"not a form at all"),
        ("; boundary=edge", b'--edge\r\nContent-Disposition: form-data; filename="f"\r\n\r\nno end'),
        ("; boundary=edge", b"--edge\r\nA: " + b"x" * 1_000_000),
        ("; boundary=edge", b"--edge\r\n" + b"A: b\r\n" * 1000),
        ("; boundary=" + "x" * 300, b"abc"),
        ("", b"abc"),
    ],
    ids=["garbage", "no closing boundary", "huge header", "many headers", "long boundary", "no boundary"],
)
def test_a_malformed_form_is_refused(client, parts, boundary, body):
    answer = client.post(
        "/v1/studies", content=body, headers={"Content-Type": f"multipart/form-data{boundary}"}
    )
    check_problem(answer, 400, "MALFORMED_UPLOAD")
    assert files_in(parts) == []


def test_a_body_announced_too_large_is_refused_before_it_is_read(parts):
    status, code = upload_by_hand(
        parts, chunks=[], headers=[(b"content-length", b"11")], limits=GatewaySettings(max_upload_bytes=10)
    )
    assert (status, code) == (413, "UPLOAD_TOO_LARGE")


def test_a_body_that_grows_too_large_is_cut_off(parts):
    limits = GatewaySettings(max_upload_bytes=10)
    assert upload_by_hand(parts, chunks=[b"123456", b"123456"], limits=limits) == (413, "UPLOAD_TOO_LARGE")
    assert files_in(parts) == []


def test_a_form_of_too_many_parts_is_cut_off(parts):
    part = b"--edge\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\n1\r\n"
    status, code = upload_by_hand(
        parts,
        chunks=[part * 100_000],
        content_type="multipart/form-data; boundary=edge",
        limits=GatewaySettings(max_files=100),
    )
    assert (status, code) == (413, "TOO_MANY_FILES")
    assert files_in(parts) == []


def test_a_client_that_leaves_in_mid_upload_leaves_neither_file_nor_job(parts):
    assert upload_by_hand(parts, chunks=[b"x" * (3 << 20)])[1] == "UPLOAD_INCOMPLETE"
    assert files_in(parts) == []
    assert parts.store.jobs.page(tenant="default", limit=1).jobs == ()


def test_a_client_that_falls_silent_is_cut_off(parts):
    limits = GatewaySettings(idle_timeout_s=0.05)
    assert upload_by_hand(parts, chunks=[b"abc"], then="silence", limits=limits) == (408, "UPLOAD_TOO_SLOW")
    assert files_in(parts) == []


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(StorageFull("full"), 507, "STORAGE_FULL"), (StoreUnavailable("away"), 503, "NOT_READY")],
)
def test_a_study_whose_job_cannot_be_written_is_not_kept(
    client, parts: Parts, monkeypatch, fault, status, code
):
    def fail(*_args, **_fields):
        raise fault

    monkeypatch.setattr(parts.store.submission, "submit", fail)
    check_problem(client.post("/v1/studies", content=b"abc", headers={"Content-Type": ZIP}), status, code)
    assert files_in(parts) == []


def test_a_known_study_is_kept_even_where_its_second_job_cannot_be_written(client, parts, monkeypatch):
    def fail(*_args, **_fields):
        raise StorageFull("full")

    first = client.post("/v1/studies", content=b"abc", headers={"Content-Type": ZIP})
    monkeypatch.setattr(parts.store.submission, "submit", fail)
    client.post("/v1/studies", content=b"abc", headers={"Content-Type": ZIP})
    assert parts.blobs.study_path(find(parts.store, first.json()["id"]).study_key).exists()
