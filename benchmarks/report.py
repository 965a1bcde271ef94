"""What every benchmark keeps beside its figures: version, machine and how busy it was, as one JSON file."""

import argparse
import json
import os
import platform
from pathlib import Path

from dras_model import __version__
from dras_model.imaging.parallel import available_cores

RESULTS = Path(__file__).parent / "results"


def keep(figures: dict[str, object], path: Path) -> None:
    """Write `figures` under what they were measured with."""
    machine = {
        "processor": platform.machine(),
        "cores": available_cores(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"dras_version": __version__, "machine": machine, **figures}
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def options_of_size(description: str | None, name: str, *, runs: int = 3) -> argparse.ArgumentParser:
    """Return a parser of the size of a study, the number of runs and where `name` is kept."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--runs", type=int, default=runs, help="counted runs, after one that warms up")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    return parser
