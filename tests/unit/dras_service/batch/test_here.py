"""A place on this machine against everything that a worker may do; the worker is played by a script."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.cases import Case, Done, Failed, GivenBack, Lost
from dras_service.batch.here import ROOMY_MB, Bounds, WorkerPlace, plan_for
from dras_service.batch.job import Here
from dras_service.batch.messages import Setup
from dras_service.batch.places import Notes

READY = 'print(\'{"kind":"ready"}\', flush=True)\n'
HEAD = "import os, signal, sys, time\nsys.stdin.readline()\n"
FINISHED = 'print(\'{"kind":"finished","status":"succeeded"}\', flush=True)\n'
CASE = Case(1, "a", "path", "a", "a", "", None, "key", 1, None)

Play = Callable[..., WorkerPlace]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """Makes a place whose worker is a script."""
    places: list[WorkerPlace] = []

    def make(
        script: str, *, start: str = READY, memory_mb: int = 4096, time_limit_s: float = 60.0
    ) -> WorkerPlace:
        stop = threading.Event()
        place = WorkerPlace(
            Setup(parent=os.getpid()),
            Bounds(memory_mb, time_limit_s),
            log=tmp_path / "workers.log",
            stop=stop,
            command=(sys.executable, "-c", HEAD + start + script),
        )
        place.stop = stop  # type: ignore[attr-defined]
        places.append(place)
        return place

    yield make
    for place in places:
        place.end()


def compute(place: WorkerPlace, notes: Notes | None = None) -> object:
    return place.compute(CASE, Path("source"), Path("out"), notes=notes or Notes())


def each(script: str) -> str:
    """Do this for every case."""
    return "for line in sys.stdin:\n" + "".join(f"    {part}\n" for part in script.splitlines())


def test_one_worker_computes_case_after_case_and_tells_where_it_is(play: Play) -> None:
    told = 'print(\'{"kind":"at","stage":"lungs","fraction":0.5}\', flush=True)\n'
    place = play(
        each(told + 'print(\'{"kind":"finished","status":"\' + str(os.getpid()) + \'"}\', flush=True)')
    )
    notes = Notes()
    first, second = compute(place, notes), compute(place)
    assert isinstance(first, Done)
    assert first == second  # by the same process
    assert notes.stage == "lungs 50%"


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ('{"kind":"refused","code":"NOT_DICOM","fields":{"n_files":3}}', "NOT_DICOM"),
        ('{"kind":"defect","how":"ZeroDivisionError at x.py:1"}', "CASE_CRASHED"),
    ],
)
def test_what_is_refused_fails_with_its_code(play: Play, said: str, outcome: str) -> None:
    found = compute(play(each(f"print('{said}', flush=True)")))
    assert isinstance(found, Failed)
    assert found.code == outcome


def test_a_worker_that_dies_costs_its_case_and_the_next_one_has_a_new_worker(
    play: Play, tmp_path: Path
) -> None:
    place = play(
        each(f"if not os.path.exists('{tmp_path}/died'):\n    open('{tmp_path}/died', 'w').close()\n"
             "    os.kill(os.getpid(), signal.SIGSEGV)\n" + FINISHED)
    )  # fmt: skip
    found = compute(place)
    assert isinstance(found, Lost)
    assert "SIGSEGV" in found.how
    assert isinstance(compute(place), Done)


def test_what_takes_too_long_or_too_much_memory_is_ended_and_told(play: Play) -> None:
    for script, bounds, said in (
        ("time.sleep(600)", {"time_limit_s": 0.2}, "0.2 seconds"),
        ("taken = bytearray(300 << 20)\ntime.sleep(600)", {"memory_mb": 200}, "200 MB of memory"),
    ):
        found = compute(play(each(script), **bounds))
        assert isinstance(found, Failed)
        assert found.code == Code.CASE_LIMIT
        assert said in found.message


def test_a_set_up_at_fault_is_raised_whenever_it_shows(play: Play) -> None:
    said = 'print(\'{"kind":"refused","code":"BUNDLE_NOT_FOUND","fields":{"name":"x"}}\', flush=True)\n'
    for place in (play("", start=said), play(each(said))):
        with pytest.raises(SetupRefused) as refused:
            compute(place)
        assert refused.value.code is Code.BUNDLE_NOT_FOUND


def test_a_worker_that_does_not_start_is_a_fault_of_the_set_up(play: Play) -> None:
    with pytest.raises(SetupRefused) as refused:
        compute(play("", start="sys.exit(3)\n"))
    assert refused.value.code is Code.WORKER_UNAVAILABLE
    assert "status 3" in str(refused.value)


def test_a_case_that_is_stopped_is_given_back(play: Play) -> None:
    place = play(each("time.sleep(600)"))
    threading.Timer(0.5, place.stop.set).start()  # type: ignore[attr-defined]
    began_at = time.monotonic()
    with pytest.raises(GivenBack):
        compute(place)
    assert time.monotonic() - began_at < 60


def test_workers_are_as_many_as_have_memory_and_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)))
    plan = plan_for(Here(memory_mb=4 * ROOMY_MB))
    assert plan.cores == ((0, 4), (1, 5), (2, 6), (3, 7))
    assert plan.bounds.memory_mb == ROOMY_MB
    assert plan_for(Here(memory_mb=1024)).cores == ((),)
    assert len(plan_for(Here(memory_mb=64 * ROOMY_MB)).cores) == 8
    assert plan_for(Here(workers=3, memory_mb=9000)).bounds.memory_mb == 3000
