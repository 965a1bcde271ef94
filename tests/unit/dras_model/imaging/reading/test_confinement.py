"""What a process can no longer do once it has shut itself in; each try runs in a process of its own."""

import subprocess
import sys

import pytest

from dras_model.imaging.reading.limits import CPU_S_PER_MB, LEAST_CPU_S, limits_for

START = """
import os, sys
from dras_model.imaging.reading import confinement, seccomp
from dras_model.imaging.reading.limits import Limits
{patch}
guards = confinement.confine(Limits({limits}), parent=os.getppid())
print("guards", *guards, flush=True)
"""
NO_NAMESPACE = "confinement._leave_network = lambda: False\n"
NO_FILTER = "confinement.install_filter = lambda: False\n"


def _run(script: str, *, patch: str = "", limits: str = "") -> subprocess.CompletedProcess[str]:
    code = START.format(patch=patch, limits=limits) + script
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def _guards() -> set[str]:
    return set(_run("").stdout.split()[1:])


def test_some_guard_stands_against_the_network() -> None:
    assert _guards() & {"namespace", "filter", "hook"}


@pytest.mark.parametrize("patch", ["", NO_NAMESPACE, NO_NAMESPACE + NO_FILTER], ids=["all", "filter", "hook"])
def test_no_socket_can_be_opened(patch: str) -> None:
    if "filter" not in _guards() and "_filter" not in patch:
        pytest.skip("the system has no filter of system calls")
    done = _run("import socket\nsocket.socket()", patch=patch)
    assert "PermissionError" in done.stderr


def test_in_a_namespace_of_its_own_nobody_can_be_reached() -> None:
    if "namespace" not in _guards():
        pytest.skip("the system lets us make no namespace")
    done = _run("import socket\nsocket.create_connection(('127.0.0.1', 9), 1)", patch=NO_FILTER)
    assert "Network is unreachable" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "os.system('true') or print('ran')",
        "import ctypes\nctypes.CDLL(None).tgkill(os.getppid(), os.getppid(), 0) or print('ran')",
        "import ctypes\nctypes.CDLL(None).sigqueue(os.getppid(), 0, 0) or print('ran')",
    ],
)
def test_the_filter_lets_it_start_no_program_and_reach_no_process(script: str) -> None:
    if "filter" not in _guards():
        pytest.skip("the system has no filter of system calls")
    done = _run(script)
    assert "PermissionError" in done.stderr or "ran" not in done.stdout


def test_its_parents_memory_is_no_file_that_it_can_open() -> None:
    try_it = (
        "from dras_model.imaging.reading.landlock import enter_domain\nraise SystemExit(not enter_domain())"
    )
    if subprocess.run([sys.executable, "-c", try_it], check=False, timeout=60).returncode:
        pytest.skip("the system has no Landlock")
    done = _run("open(f'/proc/{os.getppid()}/mem', 'r+b')")
    assert "PermissionError" in done.stderr


@pytest.mark.parametrize("leave", ["os.setsid()", "os.setpgid(0, 0)"])
def test_no_copy_of_it_outlives_the_end_of_its_group(leave: str) -> None:
    if "filter" not in _guards():
        pytest.skip("the system has no filter of system calls")
    done = _run(f"if os.fork() == 0:\n    {leave}\nelse:\n    os.wait()")
    assert "PermissionError" in done.stderr


@pytest.mark.parametrize(
    ("script", "limits", "told"),
    [
        ("bytearray(300 << 20)", "data_bytes=200 << 20", "MemoryError"),
        (
            "f = open('{tmp}', 'wb')\nf.write(bytes(2 << 20)); f.flush()",
            "file_bytes=1 << 20",
            "File too large",
        ),
        ("files = [open('/dev/null') for _ in range(40)]", "n_files=30", "Too many open files"),
    ],
    ids=["memory", "a file", "descriptors"],
)
def test_a_limit_holds(script: str, limits: str, told: str, tmp_path) -> None:
    done = _run(script.replace("{tmp}", str(tmp_path / "x")), limits=limits)
    assert told in done.stderr


def test_a_process_that_computes_for_ever_is_ended_by_the_signal_that_says_so() -> None:
    done = _run("while True: pass", limits="cpu_s=1")
    assert done.returncode == -24  # SIGXCPU


def test_a_process_whose_parent_is_gone_ends() -> None:
    code = START.format(patch="", limits="").replace("os.getppid()", "1 << 22")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "guards" not in done.stdout


def test_the_time_allowed_grows_with_what_is_read(tmp_path) -> None:
    assert limits_for(tmp_path).cpu_s == LEAST_CPU_S
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(5_000_000))
    assert limits_for(tmp_path).cpu_s == LEAST_CPU_S + round(10 * CPU_S_PER_MB)
    assert limits_for(tmp_path / "a").cpu_s == LEAST_CPU_S + round(5 * CPU_S_PER_MB)
    assert limits_for(tmp_path / "absent").cpu_s == LEAST_CPU_S


def test_a_link_that_leads_nowhere_does_not_shorten_the_time_of_its_neighbours(tmp_path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    (tmp_path / "b").write_bytes(bytes(5_000_000))
    assert limits_for(tmp_path).cpu_s == LEAST_CPU_S + round(5 * CPU_S_PER_MB)
