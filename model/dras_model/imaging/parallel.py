"""Work on slabs of an array in a few threads, with BLAS kept to one thread each.

BLAS' own threads wait for each other at every product; on a machine that is busy otherwise, small
products then take 50 times as long (0.2 s became 12 s, four processes on two cores). Slabs meet once,
at the end. A slab's result does not depend on how many there are.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise

from threadpoolctl import threadpool_limits


def available_cores() -> int:
    """Return the cores this process may use; a container often has fewer than its machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep BLAS to one thread, for the whole process, while the context lasts."""
    context: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return context


def each_slab(work: Callable[[slice], None], size: int, *, least: int = 1) -> None:
    """Call `work` on slices that cover range(size), each of at least `least`, one a core at a time."""
    cores = available_cores()
    n_slabs = max(1, min(2 * cores, size // max(least, 1)))
    edges = [round(size * i / n_slabs) for i in range(n_slabs + 1)]
    slabs = [slice(a, b) for a, b in pairwise(edges)]
    if cores == 1 or n_slabs == 1:
        for slab in slabs:
            work(slab)
        return
    with ThreadPoolExecutor(max_workers=cores) as pool:
        list(pool.map(work, slabs))


def each_slice(work: Callable[[int], None], n_slices: int) -> None:
    """Call `work` on every index of range(n_slices), one a core at a time."""
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(work, range(n_slices)))
