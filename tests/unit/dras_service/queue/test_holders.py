import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dras_service.queue.holders import holder, is_gone

TELL = "from dras_service.queue.holders import holder; print(holder(), flush=True); input()"


@pytest.fixture
def other():
    """Another process, and the name that it has given itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.name = process.stdout.readline().strip()
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_process_is_gone_once_it_was_killed_even_where_nobody_has_reaped_it(other):
    assert not is_gone(other.name)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert is_gone(other.name)
    other.wait()
    assert is_gone(other.name)


def test_a_process_that_has_the_number_of_a_dead_one_is_another():
    host, pid, began = holder().partition("@")[0].split(":")
    place = holder().partition("@")[2]
    assert not is_gone(holder())
    assert is_gone(f"{host}:{pid}:{int(began) - 1}@{place}")


def test_nothing_is_said_of_another_machine_boot_or_namespace(other):
    other.kill()
    other.wait()
    process, _, place = other.name.partition("@")
    boot, _, namespace = place.partition("/")
    assert is_gone(other.name)
    assert not is_gone(f"{process}@{'0' * len(boot)}/{namespace}")
    assert not is_gone(f"{process}@{boot}/pid:[1]")
    assert not is_gone(f"{process.replace(socket.gethostname(), 'elsewhere')}@{place}")
    assert not is_gone(process)
    assert not is_gone("")


def test_a_process_that_cannot_be_seen_but_answers_to_signals_is_not_gone(other, monkeypatch):
    monkeypatch.setattr(Path, "read_text", without_others)
    assert not is_gone(other.name)
    other.kill()
    other.wait()
    assert is_gone(other.name)


READ = Path.read_text


def without_others(path):
    """Hide other processes, as `/proc` mounted with hidepid=2 does."""
    if path.name == "stat" and path.parent.name != str(os.getpid()):
        raise FileNotFoundError
    return READ(path)


def test_where_proc_shows_other_numbers_than_ours_nobody_is_gone_and_a_name_says_less(other, monkeypatch):
    other.kill()
    other.wait()
    monkeypatch.setattr(Path, "readlink", lambda _path: Path("1"))
    assert not is_gone(other.name)
    assert holder() == f"{socket.gethostname()}:{os.getpid()}"


def test_a_name_fits_its_column():
    assert len(holder()) - len(socket.gethostname()) < 255 - 64
