"""Shares of work in forked copies; each test forks from an interpreter of one thread, as the product does."""

import subprocess
import sys

START = """
import mmap, os
from dras_model.imaging.reading import crew
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
crew.available_cores = lambda: 3
shared = mmap.mmap(-1, 60)
def run(work):
    try:
        crew.in_processes(work, 60, lambda fraction: None)
    except StudyRefused as refused:
        print(refused.code, refused)
"""


def _run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_number_is_worked_on_once_by_several_processes() -> None:
    said = _run(
        "first = os.getpid()\n"
        "def work(n): shared[n] += 1 + (os.getpid() != first)\n"
        "run(work); print(sorted(set(shared[:])), min(shared[:].count(1), shared[:].count(2)))"
    )
    assert said == "[1, 2] 20"


def test_the_refusal_of_the_lowest_number_is_the_answer() -> None:
    said = _run(
        "def work(n):\n    if n in (31, 40, 50): raise StudyRefused(Code.TRUNCATED, n_files=n)\nrun(work)"
    )
    assert said.startswith("TRUNCATED 31 files")


def test_a_copy_that_is_brought_down_refuses_the_study() -> None:
    assert _run("run(lambda n: os.abort() if n == 31 else None)").startswith("READER_CRASHED")
    assert "processor time" in _run("run(lambda n: os.kill(os.getpid(), 24) if n == 31 else None)")
    assert _run("run(lambda n: 1 / (n - 31))").startswith("READER_CRASHED")


def test_a_copy_that_finds_no_memory_says_so() -> None:
    said = _run("def work(n):\n    if n == 31: raise MemoryError\nrun(work)")
    assert said.startswith("READER_LIMIT")
    assert "memory" in said
