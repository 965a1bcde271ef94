"""What a training tells while it runs: a line of JSON an interval, the same for TensorBoard, and the time left.

A training that goes on from a checkpoint first forgets what was told of later steps: they will be taken again.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dras_training.store import not_writable
from dras_training.telling import to_nobody

LOG = "log.jsonl"
TENSORBOARD = "tensorboard"

Told = Callable[[Mapping[str, float]], None]


class Log:
    """Writes the lines of a run; made by the process that leads, and closed by it."""

    def __init__(self, run: Path, *, step: int, total: int, told: Told = to_nobody) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  takes seconds to import

        self._total, self._told = total, told
        self._began, self._first = time.monotonic(), step
        self._path = run / LOG
        try:
            _forget_after(self._path, step)
            self._lines = self._path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=step + 1)
        except OSError as fault:
            raise not_writable(run, fault) from fault

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Tell of the steps up to `step`; adds `eta_s`, seconds to the end at the pace of this run."""
        pace = (time.monotonic() - self._began) / max(step - self._first, 1)
        line = {"step": step, "total": self._total, **values, "eta_s": round(pace * (self._total - step), 1)}
        try:
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        except OSError as fault:
            raise not_writable(self._path, fault) from fault
        self._told(line)

    def close(self) -> None:
        """Have everything on the disk."""
        self._lines.close()
        self._board.close()


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run; a last line that was cut off is left out."""
    lines = []
    for text in (run / LOG).read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _forget_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = [line for line in read_log(path.parent) if line["step"] <= step]
    draft = path.with_name(f".{path.name}")
    draft.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
    os.replace(draft, path)  # noqa: PTH105
