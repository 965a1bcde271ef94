"""What a client can do to a connection, spoken by hand over a real socket."""

import json
import os
import socket
import threading
import time
from contextlib import suppress

import httpx2
import pytest

from integration.serving import wait_until

HEAD = b"POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"


def answer_to(gateway, request):
    """Send bytes and return status and body of what comes back until the other side closes."""
    with gateway.connect() as connection:
        connection.sendall(request)
        received = b""
        while block := connection.recv(1 << 16):
            received += block
    head, _, body = received.partition(b"\r\n\r\n")
    return (int(head.split()[1]), json.loads(body)["code"]) if head else None


def is_closed_within(connection, seconds):
    """Whether the other side ends the connection by itself."""
    connection.settimeout(seconds)
    try:
        while connection.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


# The catalogue's T4, and what is no HTTP
@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: 5, 6\r\n\r\nhello",
        HEAD + b"Content-Length: 1e3\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nhello",
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 80_000,
    ],
    ids=[
        "negative length",
        "two lengths",
        "two lengths in one",
        "no number",
        "huge length",
        "unknown coding",
        "no chunk",
        "garbage",
        "two hosts",
        "TLS",
        "endless header",
    ],
)
def test_what_is_no_http_is_refused_with_a_problem_document(standing, request_):
    gateway = standing()
    status, code = answer_to(gateway, request_)
    assert (status, code) in [(400, "BAD_REQUEST"), (413, "UPLOAD_TOO_LARGE")]
    assert gateway.files() == []


def test_a_length_that_is_a_number_and_too_large_is_refused_before_the_body(standing):
    gateway = standing(max_upload_bytes=1000)
    request = HEAD + b"Connection: close\r\nContent-Length: 1001\r\n\r\n"
    assert answer_to(gateway, request) == (413, "UPLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: local"], ids=["nothing", "half a head"]
)
def test_who_never_ends_a_requests_head_is_cut_off(standing, sent):
    gateway = standing(header_timeout_s=0.3)
    with gateway.connect() as connection:
        connection.sendall(sent)
        assert is_closed_within(connection, 10)


def test_a_head_that_trickles_in_does_not_move_its_deadline(standing):
    gateway = standing(header_timeout_s=0.5)
    with gateway.connect() as connection:
        started = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - started < 30:
                connection.sendall(b"G")
                time.sleep(0.05)
        assert is_closed_within(connection, 1)


def test_a_connection_is_kept_for_the_next_request(standing):
    gateway = standing()
    with httpx2.Client(base_url=gateway.url) as client:
        for _ in range(3):
            assert client.get("/healthz").status_code == 200


def test_who_goes_on_sending_after_the_answer_is_cut_off(standing, monkeypatch):
    monkeypatch.setattr("dras_service.gateway.protocol.LINGER_S", 0.3)
    gateway = standing(max_upload_bytes=1000)
    with gateway.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        n_sent = 0
        with suppress(OSError):
            for n_sent in range(2000):  # noqa: B007 - read below
                connection.sendall(b"400\r\n" + bytes(1024) + b"\r\n")
                time.sleep(0.01)
        assert n_sent < 1999


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing holds one itself


def own_threads():
    """Threads by name, without the pool's: it grows to its bound with use and no further."""
    names = sorted(thread.name for thread in threading.enumerate())
    return [name for name in names if not name.startswith("AnyIO worker")]


def leave(gateway, how):
    connection = gateway.connect()
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    form = how == "in a form"
    kind = b"multipart/form-data; boundary=edge" if form else b"application/zip"
    connection.sendall(
        b"POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\nContent-Type: %s\r\n\r\n"
        % kind
    )
    if form:
        connection.sendall(b'--edge\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n')
    connection.sendall(bytes(3 << 20))
    wait_until(lambda: gateway.files() != [], within_s=20, what="the upload has begun")
    if how == "silent":
        return connection
    connection.close()
    return None


@pytest.mark.parametrize("how", ["closed", "reset", "in a form", "silent"])
def test_a_client_gone_in_mid_upload_leaves_no_row_file_thread_or_descriptor(standing, how):
    gateway = standing(idle_timeout_s=1.0)
    httpx2.post(f"{gateway.url}/v1/studies", content=b"warm", headers={"Content-Type": "application/zip"})
    kept = gateway.files()
    for path in kept:  # what counts is what is left of those that leave
        path.rename(gateway.settings.data / path.name)
    (connection,) = {leave(gateway, how)}
    wait_until(lambda: gateway.files() == [], within_s=20, what="the upload is cleared away")
    if connection is not None:
        connection.close()
    wait_until(lambda: gateway.app.state.door.under_way == 0, within_s=20, what="nothing is under way")
    threads, held = own_threads(), descriptors()
    for _ in range(5):
        again = leave(gateway, how)
        wait_until(lambda: gateway.files() == [], within_s=20, what="the upload is cleared away")
        if again is not None:
            again.close()
    wait_until(lambda: descriptors() <= held, within_s=20, what="every descriptor is closed")
    assert own_threads() == threads
    assert list((gateway.settings.blob_folder / "incoming").iterdir()) == []
    assert gateway.n_jobs() == 1


def test_an_upload_under_way_is_finished_while_the_gateway_ends_and_a_new_one_is_sent_away(standing):
    gateway = standing()
    content = bytes(range(256)) * 4000
    with gateway.connect() as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(content))
        connection.sendall(content[:300_000])
        wait_until(lambda: gateway.files() != [], within_s=20, what="the upload has begun")
        ending = gateway.shut(within_s=30)
        wait_until(lambda: gateway.app.state.door.is_shut, within_s=5, what="the door is shut")
        ready = httpx2.get(f"{gateway.url}/readyz")
        refused = httpx2.post(
            f"{gateway.url}/v1/studies", content=b"x", headers={"Content-Type": "application/zip"}
        )
        assert [(got.status_code, got.json()["code"]) for got in (ready, refused)] == [(503, "DRAINING")] * 2
        assert int(refused.headers["Retry-After"]) > 0
        assert not ending.done()
        connection.sendall(content[300_000:])
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 202")
    ending.result(30)
    assert gateway.n_jobs() == 1


def test_the_end_does_not_wait_for_ever(standing):
    gateway = standing()
    with gateway.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(300_000))
        wait_until(lambda: gateway.files() != [], within_s=20, what="the upload has begun")
        gateway.shut(within_s=0.2).result(20)


def test_a_stream_of_events_ends_with_the_gateway_and_tells_what_happened_before(standing):
    gateway = standing(event_poll_s=0.01, heartbeat_s=0.05)
    heard = []
    with httpx2.stream("GET", f"{gateway.url}/v1/events", timeout=30) as answer:
        blocks = answer.iter_text()
        heard.append(next(blocks))
        httpx2.post(f"{gateway.url}/v1/studies", content=b"x", headers={"Content-Type": "application/zip"})
        while '"state":"queued"' not in "".join(heard):
            heard.append(next(blocks))
        gateway.shut(within_s=1)
        heard.extend(blocks)
    assert heard[0].startswith("retry: ")


def test_an_upload_much_larger_than_its_blocks_costs_no_memory_of_its_size(standing, memory_given_back):
    gateway = standing()
    n_bytes = 256 << 20
    with gateway.connect() as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % n_bytes)
        clear_peak()
        before = memory_mb("VmRSS")
        for _ in range(n_bytes >> 20):
            connection.sendall(bytes(1 << 20))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 202")
    assert memory_mb("VmHWM") - before < 32
    (path,) = gateway.files()
    assert path.stat().st_size == n_bytes


def clear_peak():
    with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 - proc(5)
        file.write("5")


def memory_mb(field):
    with open("/proc/self/status") as file:  # noqa: PTH123 - proc(5)
        return int(file.read().partition(f"{field}:")[2].split()[0]) / 1024
