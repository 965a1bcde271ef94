import errno
import os
import sqlite3
from pathlib import Path

import pytest

from dras_service.doctor.broker import check_broker
from dras_service.doctor.database import check_database, file_system
from dras_service.doctor.disk import check_disks
from dras_service.doctor.examination import check_variables, examine
from dras_service.doctor.faults import FAULTS, FaultCode
from dras_service.doctor.machine import check_bundle, check_clock, check_gpu, check_sandbox
from dras_service.errors import CannotServe
from dras_service.settings import GatewaySettings, QueueSettings, Settings, StoreSettings, WorkerSettings
from dras_service.store.engine import open_engine
from dras_service.store.store import Store
from servers import Redis, Server, need_redis


def codes(faults) -> list[str]:
    """Exhaust a check, and hold each fault to one sentence and a cure."""
    found = list(faults)
    for fault in found:
        assert fault.sentence.endswith((".", "…")), fault
        assert fault.cure.endswith("."), fault
    return [fault.code for fault in found]


@pytest.fixture
def settings(tmp_path) -> Settings:
    made = Settings(data=tmp_path / "data")
    store = Store(open_engine(made.store_url))
    store.migrate()
    store.close()
    return made


def execute(settings: Settings, statement: str) -> None:
    connection = sqlite3.connect(settings.data / "jobs.sqlite3")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_service_has_no_fault_but_what_this_machine_lacks(settings, monkeypatch):
    monkeypatch.setenv("DRAS_DATA", str(settings.data))
    found = [fault for fault in examine({"DRAS_DATA": ""}, with_bundle=False) if not fault.is_advice]
    assert found == []


def test_settings_that_are_wrong_are_named_and_nothing_else_is_looked_at(monkeypatch):
    monkeypatch.setenv("DRAS_GATEWAY__PORT", "99999")
    (fault,) = examine({"DRAS_GATEWAY__PORT": "99999"})
    assert (fault.code, "DRAS_GATEWAY__PORT" in fault.sentence) == ("SETTINGS_INVALID", True)


def test_a_misspelt_variable_is_pointed_out_and_the_others_are_not():
    environment = {"DRAS_GATWAY__PORT": "1", "DRAS_GATEWAY__PORT": "1", "DRAS_API_KEY": "x", "PATH": ""}
    (fault,) = check_variables(environment)
    assert fault.code == "SETTINGS_UNKNOWN"
    assert "DRAS_GATWAY__PORT" in fault.sentence
    assert "DRAS_API_KEY" not in fault.sentence


def test_an_address_that_lets_everybody_in_is_a_fault(settings, monkeypatch):
    monkeypatch.setenv("DRAS_DATA", str(settings.data))
    monkeypatch.setenv("DRAS_GATEWAY__HOST", "0.0.0.0")
    assert "INSECURE_BIND" in codes(examine({}, with_bundle=False))


def test_a_database_that_is_not_there_yet_is_no_fault(tmp_path):
    assert codes(check_database(Settings(data=tmp_path))) == []


def test_a_database_that_does_not_answer_is_a_fault(tmp_path):
    url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    assert codes(check_database(Settings(data=tmp_path, store=StoreSettings(url=url)))) == [
        "DATABASE_UNREACHABLE"
    ]


def test_a_database_of_an_earlier_and_of_a_later_version_are_told_apart(settings):
    execute(settings, "UPDATE alembic_version SET version_num = '0001'")
    assert codes(check_database(settings)) == ["DATABASE_NOT_MIGRATED"]
    execute(settings, "UPDATE alembic_version SET version_num = '9999'")
    assert codes(check_database(settings)) == ["DATABASE_NEWER"]


def test_a_database_without_a_write_ahead_log_is_not_durable(settings, monkeypatch):
    monkeypatch.setattr("dras_service.store.engine._set_up_sqlite", lambda *_: None)
    execute(settings, "PRAGMA journal_mode = DELETE")
    execute(settings, "PRAGMA synchronous = OFF")
    found = list(check_database(settings))
    assert [fault.code for fault in found] == ["DATABASE_NOT_DURABLE"]
    assert "journal_mode is delete" in found[0].sentence


def test_a_database_file_that_is_damaged_is_a_fault(settings):
    path = settings.data / "jobs.sqlite3"
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 5] = os.urandom(4096 * 2)
    path.write_bytes(content)
    assert "DATABASE_DAMAGED" in codes(check_database(settings))
    path.write_bytes(b"no database at all" * 1000)
    assert codes(check_database(settings)) == ["DATABASE_DAMAGED"]


def test_a_database_on_a_network_disk_is_a_fault(settings, tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {settings.data} nfs4 rw 0 0\n")
    assert file_system(settings.data / "jobs.sqlite3", mounts=mounts) == "nfs4"
    assert file_system(tmp_path, mounts=mounts) == "ext4"
    monkeypatch.setattr("dras_service.doctor.database.file_system", lambda _path: "nfs4")
    assert codes(check_database(settings)) == ["DATABASE_ON_NETWORK"]


def test_a_disk_that_cannot_be_written_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert codes(check_disks(Settings(data=tmp_path / "file"))) == ["DISK_NOT_WRITABLE", "DISK_NOT_WRITABLE"]


def test_a_disk_that_does_not_see_data_down_is_a_fault(settings):
    def refuse(_descriptor):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    assert codes(check_disks(settings, sync=refuse)) == ["DISK_NOT_DURABLE"] * 2
    assert not list(settings.data.glob("doctor-*"))


def test_a_disk_below_the_watermark_is_a_fault(settings):
    limited = settings.model_copy(update={"gateway": GatewaySettings(least_free_bytes=10 << 20)})
    assert codes(check_disks(limited, free_bytes=lambda _folder: 9 << 20)) == ["DISK_NEARLY_FULL"] * 2
    assert codes(check_disks(limited, free_bytes=lambda _folder: 10 << 20)) == []


class Locked(Redis):
    """Listens, and answers nobody without a password."""

    def is_up(self) -> bool:
        return Server.is_up(self)


@pytest.fixture
def redis(tmp_path):
    need_redis()
    started = []

    def start(*options: str) -> Settings:
        server = (Locked if "--requirepass" in options else Redis)(tmp_path, *options)
        server.start()
        started.append(server)
        return Settings(data=tmp_path, queue=QueueSettings(url=server.url))

    yield start
    for server in started:
        server.end()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), []),
        (("--appendonly", "no"), ["BROKER_NOT_PERSISTENT"]),
        (("--maxmemory-policy", "allkeys-lru"), ["BROKER_EVICTS"]),
        (("--rename-command", "CONFIG", ""), ["BROKER_UNKNOWN"]),
        (("--requirepass", "secret"), ["BROKER_UNREACHABLE"]),
    ],
    ids=["sound", "no AOF", "evicts", "silent", "locked"],
)
def test_a_redis_that_may_lose_messages_is_told(redis, options, expected):
    assert codes(check_broker(redis(*options))) == expected


def test_a_broker_that_does_not_answer_is_a_fault(tmp_path):
    away = Settings(data=tmp_path, queue=QueueSettings(url="redis://127.0.0.1:1/0"))
    assert codes(check_broker(away)) == ["BROKER_UNREACHABLE"]
    (tmp_path / "file").write_text("in the way")
    assert codes(check_broker(Settings(data=tmp_path / "file"))) == ["BROKER_UNREACHABLE"]


def test_the_embedded_broker_of_folders_is_sound(settings):
    assert codes(check_broker(settings)) == []


def test_a_bundle_that_is_refused_is_a_fault_with_the_bundles_own_code():
    def refuse():
        raise CannotServe("BUNDLE_NOT_FOUND", "There is no bundle of this name.")

    (fault,) = check_bundle(prove=refuse)
    assert fault.code == "BUNDLE_REFUSED"
    assert "BUNDLE_NOT_FOUND" in fault.sentence
    assert codes(check_bundle(prove=lambda: None)) == []


@pytest.mark.parametrize(
    "answer", ['["CPUExecutionProvider"]', OSError("ImportError"), '["CUDAExecutionProvider"]']
)
def test_a_gpu_that_cannot_be_used_is_a_fault_where_one_is_asked_for(settings, answer, monkeypatch):
    def run(_program):
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr("dras_service.doctor.machine._has_driver", lambda: False)
    wanted = settings.model_copy(update={"worker": WorkerSettings(device="cuda")})
    assert codes(check_gpu(wanted, run=run)) == ["GPU_NOT_USABLE"]
    assert codes(check_gpu(settings, run=run)) == []


def test_a_clock_that_nobody_keeps_is_advice(settings):
    (fault,) = check_clock(settings, state=lambda: 5)
    assert (fault.code, fault.is_advice) == ("CLOCK_NOT_SYNCHRONISED", True)
    assert codes(check_clock(settings, state=lambda: 0)) == []


def test_a_clock_that_differs_from_the_databases_is_a_fault(settings, monkeypatch):
    class Answer:
        def scalar_one(self):
            return 1000.0

    class Engine:
        def connect(self):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def execute(self, _statement):
            return Answer()

        def dispose(self):
            pass

    monkeypatch.setattr("dras_service.doctor.machine.open_engine", lambda _url: Engine())
    remote = settings.model_copy(update={"store": StoreSettings(url="postgresql+psycopg://db/dras")})
    assert codes(check_clock(remote, now=lambda: 1010.0, state=lambda: 0)) == ["CLOCK_WRONG"]
    assert codes(check_clock(remote, now=lambda: 1002.0, state=lambda: 0)) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"landlock": true, "guards": ["namespace", "filter"]}', []),
        ('{"landlock": true, "guards": ["filter"]}', []),
        ('{"landlock": false, "guards": ["filter"]}', ["SANDBOX_WEAK"]),
        ('{"landlock": true, "guards": ["namespace"]}', ["SANDBOX_WEAK"]),
        ('{"landlock": false, "guards": ["hook"]}', ["SANDBOX_WEAK"]),
        ("", ["SANDBOX_MISSING"]),
    ],
)
def test_what_the_sandbox_lacks_is_told(answer, expected):
    assert codes(check_sandbox(run=lambda _program: answer)) == expected


def test_the_probe_of_the_sandbox_runs_on_this_machine():
    assert set(codes(check_sandbox())) <= {"SANDBOX_WEAK"}


def test_a_sandbox_that_cannot_be_entered_is_a_fault():
    def fail(_program):
        raise OSError("PermissionError")

    assert codes(check_sandbox(run=fail)) == ["SANDBOX_MISSING"]


def test_every_fault_has_its_row_and_is_raised_by_a_test_of_this_file():
    assert set(FAULTS) == set(FaultCode)
    text = Path(__file__).read_text()
    assert {code for code in FaultCode if f'"{code}"' not in text} == set()
