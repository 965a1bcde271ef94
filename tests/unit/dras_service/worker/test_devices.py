import os

import pytest
from celery.signals import worker_process_init
from pydantic import ValidationError

from dras_service.queue.app import create_celery
from dras_service.settings import Settings, WorkerSettings
from dras_service.worker import devices
from dras_service.worker.devices import VISIBLE, bind_processes, gpu_of
from dras_service.worker.engine import DeviceLost, PipelineEngine


class _Child:
    index = 1


@pytest.fixture
def child(monkeypatch):
    """A child of the pool in place 1; receivers that a test connects are gone after it."""
    monkeypatch.setattr(devices, "current_process", _Child)
    monkeypatch.delenv(VISIBLE, raising=False)
    before = list(worker_process_init.receivers)
    yield
    worker_process_init.receivers[:] = before


def test_there_is_one_process_for_each_gpu_whatever_else_is_asked_for(tmp_path):
    for gpus, expected in (((), 1), (("0",), 1), (("0", "2"), 2)):
        worker = WorkerSettings(device="cuda", gpus=gpus, processes=8)
        assert create_celery(Settings(data=tmp_path, worker=worker)).conf.worker_concurrency == expected
    on_processors = Settings(data=tmp_path, worker=WorkerSettings(processes=8))
    assert create_celery(on_processors).conf.worker_concurrency == 8


def test_a_gpu_that_is_named_twice_is_refused():
    with pytest.raises(ValidationError):
        WorkerSettings(device="cuda", gpus=("0", "0"))


def test_children_share_the_gpus_out():
    assert [gpu_of(index, ("0", "2", "5")) for index in range(3)] == ["0", "2", "5"]


@pytest.mark.usefixtures("child")
def test_a_child_sees_the_gpu_of_its_place_and_no_other():
    bind_processes(WorkerSettings(device="cuda", gpus=("0", "2")))
    worker_process_init.send(sender=None)
    assert os.environ.pop(VISIBLE) == "2"


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("settings", [WorkerSettings(), WorkerSettings(device="cuda")])
def test_nothing_is_bound_where_no_gpu_is_named(settings):
    bind_processes(settings)
    worker_process_init.send(sender=None)
    assert VISIBLE not in os.environ


class _Runtime(Exception):
    pass


_Runtime.__module__ = "onnxruntime.capi.onnxruntime_pybind11_state"


@pytest.mark.parametrize(
    ("device", "error", "expected"),
    [
        ("cuda", _Runtime("CUDA failure 700"), DeviceLost),
        ("cpu", _Runtime("a defect"), _Runtime),
        ("cuda", ValueError("a defect"), ValueError),
    ],
)
def test_only_what_the_runtime_says_of_a_gpu_is_the_gpus_fault(monkeypatch, device, error, expected):
    engine = PipelineEngine(WorkerSettings(device=device))

    def fail(_name):
        raise error

    monkeypatch.setattr(engine._encoders, "open", fail)
    with pytest.raises(expected):
        engine.encode([], [], bundle=None, report=lambda *_news: None)
