import os
import subprocess
import sys
import time

from dras_service.worker.beacon import Beacon, Gauges
from dras_service.worker.between_forks import BetweenForks
from integration.serving import wait_until


def test_a_worker_is_seen_while_it_lives_and_gone_when_it_has_ended(parts, monkeypatch):
    monkeypatch.setattr(parts.store.numbers._database, "now", time.time)
    database = BetweenForks(parts.settings.store_url)
    beacon = Beacon(database, every_s=0.02, gauges=lambda: {"resident_bytes": 1.0})
    beacon.start()
    wait_until(lambda: parts.store.numbers.workers() != (), within_s=10, what="a sign of life")
    assert parts.store.numbers.workers()[0].id.endswith(f":{os.getpid()}")
    assert parts.store.numbers.seen_within(5.0)
    beacon.stop()
    assert parts.store.numbers.workers() == ()


def test_a_database_that_is_away_does_not_end_the_thread(tmp_path):
    (tmp_path / "file").write_text("no folder")
    database = BetweenForks(f"sqlite:///{tmp_path / 'file' / 'jobs.sqlite3'}")
    Beacon(database, every_s=1.0, gauges=dict).send()


def test_the_memory_of_a_process_and_its_children_is_summed_up():
    alone = Gauges().read()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        wait_until(lambda: Gauges().read()["processes"] > alone["processes"], within_s=10, what="the child")
        assert Gauges().read()["resident_bytes"] > 0
        child.communicate(b"\n")


def test_gauges_without_a_gpu_name_none():
    gauges = Gauges()
    gauges._nvml = None
    assert set(gauges.read()) == {"processes", "resident_bytes"}


class Nvml:
    """NVIDIA's library with two GPUs, the second of which fails."""

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        if index:
            raise RuntimeError("fell off the bus")
        return index

    def nvmlDeviceGetMemoryInfo(self, _device):
        return type("Memory", (), {"used": 10, "total": 40})

    def nvmlDeviceGetUtilizationRates(self, _device):
        return type("Rates", (), {"gpu": 75})


def test_a_gpu_is_read_by_its_number_and_one_that_fails_is_left_out():
    gauges = Gauges()
    gauges._nvml = Nvml()
    found = {name: value for name, value in gauges.read().items() if "@" in name}
    assert found == {
        "gpu_utilisation_ratio@0": 0.75,
        "gpu_memory_used_bytes@0": 10.0,
        "gpu_memory_bytes@0": 40.0,
    }
