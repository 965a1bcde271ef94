"""Two gateways behind the proxy that is delivered: exchanged, and their database expanded, while a client sends."""

import http.client
import http.server
import os
import shutil
import signal
import sqlite3
import ssl
import subprocess
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from integration.serving import Serving, wait_until
from servers import free_port

ROOT = Path(__file__).parents[2]


class Proxy:
    """Caddy with the delivery's configuration, on a port of its own."""

    def __init__(self, folder: Path, *upstreams: str) -> None:
        self.port = free_port()
        site = {"DRAS_SITE": f"https://localhost:{self.port}", "DRAS_UPSTREAMS": " ".join(upstreams)}
        # Ports that the file names for a container are not this machine's to give.
        text = (
            (ROOT / "deploy/proxy/Caddyfile")
            .read_text()
            .replace("127.0.0.1:2020", f"127.0.0.1:{free_port()}")
        )
        text = text.replace(
            "admin off", f"admin off\n\thttp_port {free_port()}\n\tauto_https disable_redirects"
        )
        (folder / "Caddyfile").write_text(text)
        self.process = subprocess.Popen(
            ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder), **site},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, method: str, path: str, body: bytes | None = None) -> int:
        """Return the status; 0 where there was no answer."""
        headers = {"Content-Type": "application/octet-stream"} if body else {}
        try:
            return self.exchange(method, path, body, headers)[0]
        except OSError:
            return 0

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """Return status and body. Raises OSError."""
        # Caddy's own authority is nobody's here.
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=30, context=ssl._create_unverified_context()
        )
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def expand(database: Path) -> None:
    """Do to a database in use what a migration of the next version may do (docs/deployment.md)."""
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        for statement in (
            "BEGIN IMMEDIATE",
            "ALTER TABLE job ADD COLUMN of_the_next_version VARCHAR",
            "ALTER TABLE study ADD COLUMN of_the_next_version INTEGER NOT NULL DEFAULT 0",
            "CREATE TABLE of_the_next_version (id INTEGER PRIMARY KEY)",
            "UPDATE alembic_version SET version_num = '9999'",
            "COMMIT",
        ):
            connection.execute(statement)


class _SaysItsPort(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = str(self.server.server_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def test_dicomweb_of_one_key_goes_to_one_gateway_and_all_else_to_both(tmp_path):
    if not shutil.which("caddy"):
        pytest.skip("caddy is not installed")
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), _SaysItsPort) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = Proxy(tmp_path, *(f"127.0.0.1:{server.server_address[1]}" for server in servers))

    def reached(path: str, key: str) -> set[bytes]:
        headers = {"Authorization": f"Bearer {key}"}
        return {proxy.exchange("GET", path, None, headers)[1] for _ in range(24)}

    try:
        wait_until(lambda: proxy.ask("GET", "/readyz") == 200, within_s=60, what="the proxy serves")
        for key in ("a", "b", "c", "d"):
            assert len(reached("/dicom-web/studies", key)) == 1
        assert len(reached("/v1/jobs", "a")) == 2
    finally:
        proxy.process.terminate()
        proxy.process.wait(30)
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.mark.slow
def test_gateways_are_exchanged_and_the_database_expanded_and_no_request_fails(tmp_path):
    if not shutil.which("caddy"):
        pytest.skip("caddy is not installed")
    (tmp_path / "proxy").mkdir()
    ports = [free_port(), free_port()]

    def gateway(port: int) -> Serving:
        # The proxy asks every two seconds; this machine may be slow to answer.
        notice = {"DRAS_GATEWAY__SHUTDOWN_NOTICE_S": "5"}
        serving = Serving(tmp_path / "data", "--no-worker", "--port", str(port), **notice)
        assert serving.url, serving.process.stderr.read()
        return serving

    gateways = [gateway(port) for port in ports]
    proxy = Proxy(tmp_path / "proxy", *(f"127.0.0.1:{port}" for port in ports))
    statuses: Counter[int] = Counter()
    done = threading.Event()

    def submit() -> None:
        number = 0
        while not done.is_set():
            number += 1
            statuses[proxy.ask("POST", "/v1/studies", b"study %d" % number)] += 1
            time.sleep(0.02)

    try:
        wait_until(lambda: proxy.ask("GET", "/readyz") == 200, within_s=60, what="the proxy serves")
        assert proxy.ask("GET", "/metrics") == 404
        caller = threading.Thread(target=submit)
        caller.start()
        for place, port in enumerate(ports):
            before = statuses.total()
            wait_until(lambda before=before: statuses.total() > before + 5, within_s=60, what="requests")
            assert gateways[place].stop(signal.SIGTERM) == 0
            gateways[place] = gateway(port)
            time.sleep(3)  # until the proxy has asked it whether it is ready
        before = statuses.total()
        expand(tmp_path / "data/jobs.sqlite3")  # by a gateway of the next version, which starts first
        wait_until(lambda: statuses.total() > before + 20, within_s=60, what="requests")
        late = Serving(tmp_path / "data", "--no-worker")  # of this version: it knows that it is too old
        assert not late.url
        assert late.stop() != 0
        assert "STORE_NEWER" in late.errors
        done.set()
        caller.join(60)
        rows = gateways[0].rows("SELECT count(*) FROM job")
    finally:
        done.set()
        proxy.process.terminate()
        proxy.process.wait(30)
        for serving in gateways:
            if serving.process.poll() is None:
                serving.stop()
    assert set(statuses) == {202}, statuses
    assert rows == [(statuses[202],)]
