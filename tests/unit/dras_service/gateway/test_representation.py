import base64
import hashlib
import io

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from dras_service.gateway.representation import Representation, answer

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA256}"'
LAST = len(CONTENT) - 1


@pytest.fixture
def opened():
    return []


@pytest.fixture
def client(opened):
    app = FastAPI()
    shown = Representation("application/x-npz", len(CONTENT), SHA256, "features.npz")

    def open_file():
        file = io.BytesIO(CONTENT)
        opened.append(file)
        return file

    @app.api_route("/", methods=["GET", "HEAD"])
    def get(request: Request):
        return answer(request, shown, opened=open_file)

    return TestClient(app)


def test_the_whole_file_comes_described(client, opened):
    got = client.get("/")
    assert (got.status_code, got.content) == (200, CONTENT)
    assert got.headers["etag"] == ETAG
    assert (
        got.headers["repr-digest"]
        == f"sha-256=:{base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()}:"
    )
    assert got.headers["content-length"] == str(len(CONTENT))
    assert got.headers["content-type"] == "application/x-npz"
    assert got.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''features.npz"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["accept-ranges"] == "bytes"
    assert all(file.closed for file in opened)


# RFC 9110, 14.1.2: what each range means of a file of this size
@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=2-4", 2, 4),
        ("bytes=500-", 500, LAST),
        ("bytes=-10", LAST - 9, LAST),
        (f"bytes=-{10 * LAST}", 0, LAST),
        (f"bytes=100-{10 * LAST}", 100, LAST),
        ("bytes= 2-4", 2, 4),
    ],
)
def test_a_part_is_the_part_that_was_asked_for(client, header, first, last):
    got = client.get("/", headers={"Range": header})
    assert (got.status_code, got.content) == (206, CONTENT[first : last + 1])
    assert got.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert got.headers["content-length"] == str(last - first + 1)
    assert got.headers["etag"] == ETAG


@pytest.mark.parametrize("header", [f"bytes={LAST + 1}-", f"bytes={10**18}-", "bytes=-0"])
def test_a_part_that_is_not_there_is_said_with_the_size(client, header, opened):
    got = client.get("/", headers={"Range": header})
    assert (got.status_code, got.json()["code"]) == (416, "RANGE_NOT_SATISFIABLE")
    assert got.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert opened == []


@pytest.mark.parametrize(
    "header", ["bytes=4-2", "lines=1-2", "bytes=", "bytes=0-1,3-4", "bytes=a-b", "bytes=-"]
)
def test_a_range_of_another_form_is_ignored(client, header):
    got = client.get("/", headers={"Range": header})
    assert (got.status_code, len(got.content)) == (200, len(CONTENT))


@pytest.mark.parametrize("header", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
def test_who_has_the_file_is_told_so_without_it(client, header, opened):
    got = client.get("/", headers={"If-None-Match": header})
    assert (got.status_code, got.content) == (304, b"")
    assert got.headers["etag"] == ETAG
    assert opened == []


@pytest.mark.parametrize(
    ("header", "status"),
    [(ETAG, 206), ('"other"', 200), (f"W/{ETAG}", 200), ("Mon, 23 Nov 2026 00:00:00 GMT", 200)],
)
def test_a_part_comes_only_of_the_file_that_the_rest_is_of(client, header, status):
    assert client.get("/", headers={"Range": "bytes=0-9", "If-Range": header}).status_code == status


def test_a_head_has_the_headers_of_the_whole_and_no_body(client, opened):
    got, whole = client.head("/", headers={"Range": "bytes=0-9"}), client.get("/")
    assert (got.status_code, got.content) == (200, b"")
    assert {**got.headers} == {**whole.headers}
    assert len(opened) == 1


def test_a_name_cannot_break_out_of_its_header():
    name = 'a"; filename=b\r\nX: y.csv'
    disposition = Representation("text/csv", 1, "0" * 64, name).headers()["Content-Disposition"]
    assert not set('"\r\n;') & set(disposition.removeprefix("attachment; "))
