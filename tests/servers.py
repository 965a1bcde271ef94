"""Real PostgreSQL and Redis servers for tests: in a folder of their own, on a private port, ended by their pid.

A test that asks for one where it is not installed is skipped, and says so.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

START_WITHIN_S = 30.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h: a server ends with the tests, however those end
_libc = ctypes.CDLL(None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _end_with_the_tests() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A process that listens on a port of this machine."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_up(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    @property
    def user(self) -> str | None:
        return None

    def start(self) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                cwd=self.folder,
                preexec_fn=_end_with_the_tests,  # noqa: PLW1509 - it calls the kernel and nothing else
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / f"{self.name}.log").read_text(errors="replace")
                raise AssertionError(f"{self.name} does not start: {said[-2000:]}")
            time.sleep(0.02)

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)  # a frozen process does not see other signals
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


class Redis(Server):
    name = "redis"

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        durable = ["--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]
        return ["redis-server", *options, *durable, *self._options]

    def is_up(self) -> bool:
        try:
            return self.ask("PING") == b"+PONG"
        except OSError:
            return False

    def ask(self, *words: str) -> bytes:
        """Send one command and return the first line of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
            connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            return connection.makefile("rb").readline().rstrip(b"\r\n")


class PostgreSQL(Server):
    """A cluster of its own, without a password, for this machine only."""

    name = "postgresql"

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options
        self._data = folder / "data"
        if self.user is not None:
            shutil.chown(folder, self.user)
        # Tests of what survives leave syncing on; a power cut is not among them.
        subprocess.run(
            [
                _postgres("initdb"),
                "--no-sync",
                "--auth=trust",
                "--username=dras",
                "--encoding=UTF8",
                self._data,
            ],
            check=True,
            capture_output=True,
            user=self.user,
            cwd=folder,
        )

    @property
    def user(self) -> str | None:
        return "postgres" if os.getuid() == 0 else None  # the server refuses to be root

    def command(self) -> list[str]:
        sockets = ["-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port)]
        return [_postgres("postgres"), "-D", str(self._data), *sockets, *self._options]

    def is_up(self) -> bool:
        import psycopg  # noqa: PLC0415 - only where there is a server

        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def dsn(self, database: str) -> str:
        return f"postgresql://dras@127.0.0.1:{self.port}/{database}"

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://dras@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Create an empty database and return its URL."""
        import psycopg  # noqa: PLC0415 - only where there is a server

        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)


def _postgres(program: str) -> str:
    """Find a program of PostgreSQL; Debian keeps those of a server off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)
    found = shutil.which(program) or next(map(str, places), None)
    return str(Path(found).resolve()) if found else ""


def need_redis() -> None:
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")


def need_postgresql() -> None:
    if not _postgres("postgres") or not _postgres("initdb"):
        pytest.skip("PostgreSQL's server is not installed")
    if os.getuid() == 0 and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that a server's own user can enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="dras-servers-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[Redis]:
    """One server for the whole run, for tests in which it lives."""
    need_redis()
    folder = server_folder / "redis"
    folder.mkdir()
    server = Redis(folder)
    server.start()
    yield server
    server.end()


class ObjectStore:
    """An S3-compatible server of this process, on a private port."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - only where there is a server

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
        self._n_buckets = 0
        self._server.start()
        self.url = "http://{}:{}".format(*self._server.get_host_and_port())

    def bucket(self, prefix: str = "") -> str:
        """Create an empty bucket; return its URL with a prefix."""
        self._n_buckets += 1
        name = f"bucket-{self._n_buckets}"
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        return f"s3://{name}/{prefix}".rstrip("/")

    def end(self) -> None:
        self._server.stop()


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """One server for the whole run, with credentials that every process started by a test inherits."""
    pytest.importorskip("moto.server", reason="moto's server is not installed", exc_type=ImportError)
    pytest.importorskip("obstore", reason="obstore is not installed")
    standard = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in standard}
    os.environ.update(standard)
    server = ObjectStore()
    yield server
    server.end()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="session")
def postgresql(server_folder: Path) -> Iterator[PostgreSQL]:
    """One server for the whole run; it does not sync, so only tests in which it lives may use it."""
    need_postgresql()
    folder = server_folder / "postgresql"
    folder.mkdir()
    server = PostgreSQL(folder, "-F", "-c", "max_connections=200")
    server.start()
    yield server
    server.end(signal.SIGQUIT)
