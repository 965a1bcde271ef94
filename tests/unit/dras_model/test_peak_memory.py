import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from dras_model import peak_memory
from dras_model.peak_memory import forget_peak, peak_rss_mb


def _fill_mb(megabytes: int) -> None:
    np.ones(megabytes << 20, dtype=np.uint8).sum()


def _can_reset() -> bool:
    try:
        peak_memory.RESET.write_text("5", "ascii")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _can_reset(), reason="the system does not let a process reset its peak")
@pytest.mark.usefixtures("memory_given_back")
def test_the_peak_of_an_earlier_study_is_forgotten() -> None:
    forget_peak()  # other tests of this process may have held more
    _fill_mb(400)
    earlier = peak_rss_mb()
    forget_peak()
    left = peak_rss_mb()  # what the process gives back meanwhile is no part of the next peak
    assert left < earlier - 200
    _fill_mb(400)
    assert peak_rss_mb() > left + 200


@pytest.mark.parametrize(("platform", "per_mb"), [("linux", 1024.0), ("darwin", 1024.0**2)])
def test_without_proc_the_peak_is_that_of_the_process_in_the_units_of_the_system(
    platform: str, per_mb: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak_memory, "RESET", tmp_path / "none" / "clear_refs")
    monkeypatch.setattr(peak_memory, "STATUS", tmp_path / "none" / "status")
    monkeypatch.setattr(sys, "platform", platform)
    forget_peak()
    expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mb
    assert peak_rss_mb() == pytest.approx(expected, rel=0.05)
