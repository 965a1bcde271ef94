"""The parent against every way in which a reading process can end; the process is played by a script."""

import os
import sys
import time
from pathlib import Path

import pytest

from dras_model.imaging.reading import parent
from dras_model.imaging.reading.limits import Limits
from dras_model.imaging.reading.parent import ReaderDefect, read_elsewhere
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from integration.serving import wait_until

READY = 'print(\'{"kind":"ready","guards":["filter"]}\', flush=True)\n'
START = "import os, sys, json, time\nrequest = json.loads(sys.stdin.readline())\n" + READY
READ = (
    '{"kind":"read","series_uid":"1.2","candidates":[],"acquisition":{},"shape":[2,2,2],'
    '"affine":[1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1],"warnings":[],"input_sha256":"' + "0" * 64 + '"}'
)


def _children() -> set[int]:
    """Processes whose parent is this one, those that wait to be reaped included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent_id = stat.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent_id) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def _n_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Have a script play the reading process; nothing of it may be left behind."""
    temporary, source = tmp_path / "tmp", tmp_path / "study.zip"
    temporary.mkdir()
    source.write_bytes(b"any")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before, descriptors = _children(), _n_descriptors()

    def run(script: str, *, voxels: bool = True, **limits: float) -> object:
        monkeypatch.setattr(parent, "_COMMAND", (sys.executable, "-c", START + script))
        return read_elsewhere(source, voxels=voxels, limits=Limits(**limits))  # type: ignore[arg-type]

    yield run
    assert _children() == before
    # Threads that other tests have left in this process may hold one for a moment; what we leave stays.
    wait_until(lambda: _n_descriptors() <= descriptors, within_s=10, what="no descriptor is left")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("os.abort()", Code.READER_CRASHED, "SIGABRT"),
        ("os.kill(os.getpid(), 11)", Code.READER_CRASHED, "SIGSEGV"),
        ("os.kill(os.getpid(), 24)", Code.READER_LIMIT, "processor time"),
        ("sys.exit(3)", Code.READER_CRASHED, "status 3"),
        ("pass", Code.READER_CRASHED, "status 0"),
        ("print('no json')", Code.READER_CRASHED, "an answer that is none"),
        ("print('[' * 100000)", Code.READER_CRASHED, "an answer that is none"),
        ("print(json.dumps({'kind': 'other'}))", Code.READER_CRASHED, "an answer that is none"),
        ('print(\'{"kind":"progress","fraction":NaN}\')', Code.READER_CRASHED, "an answer that is none"),
        (
            "print(json.dumps({'kind': 'refusal', 'code': 'MALFORMED', 'fields': {}}))",
            Code.READER_CRASHED,
            "an answer that is none",
        ),
        (
            "print(json.dumps({'kind': 'refusal', 'code': 'TILT', 'fields': {'degrees': 1}}))",
            Code.READER_CRASHED,
            "an answer that is none",
        ),
        (
            "print(json.dumps({'kind': 'refusal', 'code': 'MALFORMED', 'fields': {'n_files': 'a\\nb'}}))",
            Code.READER_CRASHED,
            "an answer that is none",
        ),
        (f"print('{READ}')", Code.READER_CRASHED, "another size"),
        (f"os.ftruncate(request['voxels'], 31); print('{READ}')", Code.READER_CRASHED, "another size"),
        (
            f"os.write(request['voxels'], b'\\xff' * 32); print('{READ}')",
            Code.READER_CRASHED,
            "no numbers",
        ),
        (
            "print(json.dumps({'kind': 'refusal', 'code': 'BUNDLE_NOT_FOUND', 'fields': {'name': 'x'}}))",
            Code.READER_CRASHED,
            "an answer that is none",
        ),
        ("print(json.dumps({'kind': 'labelled'}))", Code.READER_CRASHED, "another question"),
        (
            "print(json.dumps({'kind': 'refusal', 'code': 'MALFORMED', 'fields': {'n_files': 2}}))",
            Code.MALFORMED,
            "2 files",
        ),
    ],
)
def test_whatever_ends_the_process_refuses_the_study_and_leaves_nothing(
    script: str, code: Code, said: str, play
) -> None:
    with pytest.raises(StudyRefused, match=said) as refused:
        play(script)
    assert refused.value.code is code


def test_a_process_that_hangs_is_ended_when_its_time_is_over(play) -> None:
    with pytest.raises(StudyRefused, match="time") as refused:
        play("time.sleep(600)", wall_s=1.0)
    assert refused.value.code is Code.READER_LIMIT


def test_a_process_that_goes_on_behind_a_closed_pipe_is_ended(play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "_END_S", 0.2)
    with pytest.raises(StudyRefused, match="time") as refused:
        play(f"print('{READ}', flush=True); os.close(1); time.sleep(600)")
    assert refused.value.code is Code.READER_LIMIT


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="a file has no seals")
def test_what_left_the_group_can_neither_write_to_the_voxels_nor_cut_them_short(play, tmp_path: Path) -> None:
    written = "memory = request['voxels']; os.ftruncate(memory, 32)\n"
    stay = (
        "if os.fork() == 0:\n    os.setsid(); os.close(1)\n"
        f"    while not os.path.exists('{tmp_path}/go'): time.sleep(0.01)\n"
        "    for change in (lambda: os.ftruncate(memory, 0), lambda: os.pwrite(memory, b'1', 0)):\n"
        "        try: change()\n        except PermissionError: print('denied', file=said, flush=True)\n"
        "    os._exit(0)\n"
    )
    opened = f"said = open('{tmp_path}/said', 'w')\n"
    found = play(written + opened + stay + f"print('{READ}')")
    (tmp_path / "go").touch()
    deadline = time.monotonic() + 60
    while (tmp_path / "said").read_text().count("denied") < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "said").read_text() == "denied\n" * 2
    assert found.voxels.tolist() == [[[0.0, 0.0]] * 2] * 2


def test_memory_that_something_still_maps_is_not_believed(play, tmp_path: Path) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("a file has no seals")
    script = (
        "import mmap; os.ftruncate(request['voxels'], 32); shared = mmap.mmap(request['voxels'], 32)\n"
        f"if os.fork() == 0:\n    os.setsid(); os.close(1); open('{tmp_path}/pid', 'w').write(str(os.getpid()))\n"
        f"    time.sleep(600)\nwhile not os.path.exists('{tmp_path}/pid'): time.sleep(0.01)\nprint('{READ}')"
    )
    try:
        with pytest.raises(StudyRefused, match="still writes"):
            play(script)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)


def test_an_answer_without_end_is_not_collected(play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "MOST_LINE", 1 << 16)
    with pytest.raises(StudyRefused, match="without end"):
        play("while True: sys.stdout.write('x' * 1000)")


def test_voxels_arrive_as_they_were_written(play) -> None:
    found = play(f"import struct; os.write(request['voxels'], struct.pack('8f', *range(8))); print('{READ}')")
    assert found.voxels.ravel().tolist() == list(range(8))
    found.voxels[0] = -1.0  # our own copy


def test_a_process_that_does_not_start_is_the_fault_of_the_set_up(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "START", "raise SystemExit('no such library')\n")
    with pytest.raises(SetupRefused, match="no such library") as refused:
        play("")
    assert refused.value.code is Code.READER_UNAVAILABLE


def test_an_error_that_nobody_has_sorted_is_a_defect_and_no_refusal(play) -> None:
    with pytest.raises(ReaderDefect, match="KeyError"):
        play("print(json.dumps({'kind': 'defect', 'where': 'KeyError at x.py:3'}))")


def test_an_interruption_ends_the_process_at_once(play, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(fraction: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parent, "_BEAT_S", 0.05)
    monkeypatch.setattr(parent, "_COMMAND", (sys.executable, "-c", START + "time.sleep(600)"))
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        read_elsewhere(Path("/nowhere"), voxels=False, report=interrupt, limits=Limits())
    assert time.monotonic() - started < 300  # it does not sleep to its end


def test_settings_and_their_secrets_do_not_reach_the_process(play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAS_STORE__URL", "secret")
    with pytest.raises(StudyRefused, match="status 7"):
        play("sys.exit(8 if any('secret' in value for value in os.environ.values()) else 7)")
