"""The long run: every target is explored for a while, and the figures are written down.

python -m fuzz.campaign --seconds 600 --keep fuzzing --json docs/fuzzing.json
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from fuzz.targets import TARGETS

TOLD = {"inputs": "number_of_executed_units", "slowest_s": "slowest_unit_time_sec", "peak_mb": "peak_rss_mb"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--within", type=int, default=2, help="seconds for one input; more on a busy machine")
    parser.add_argument("--keep", type=Path, default=Path("fuzzing"), help="folder of what is found")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TARGETS)}; all by default")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    figures = {}
    for name in options.names or TARGETS:
        figures[name] = explored(name, options.keep, seconds=options.seconds, within_s=options.within)
        print(name, json.dumps(figures[name]), flush=True)  # noqa: T201 - what a run is for
    if options.json:
        report = {"seconds_each": options.seconds, "within_s": options.within, "targets": figures}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(any(figure["broken"] for figure in figures.values()))


def explored(name: str, keep: Path, *, seconds: int, within_s: int) -> dict[str, int | bool]:
    """Explore a target in a process of its own; return its figures."""
    numbers = [f"--seconds={seconds}", f"--within={within_s}"]
    command = [sys.executable, "-m", "fuzz.explore", name, f"--keep={keep}", *numbers]
    log = keep / f"{name}.log"
    with log.open("w") as file:
        ended = subprocess.run(command, stderr=file, check=False)
    said = log.read_text(errors="replace")
    found = {key: re.search(rf"stat::{stat}:\s+(\d+)", said) for key, stat in TOLD.items()}
    return {key: int(match[1]) for key, match in found.items() if match} | {"broken": ended.returncode != 0}


if __name__ == "__main__":
    main()
