"""Looks for inputs that break one target, with a fuzzer that sees which lines an input reaches (atheris).

    python -m fuzz.explore NAME --keep folder --seconds 600

The process ends at the first input that raises what nobody sorted, takes too long or too much memory; that input is
kept, as is every one that reached something new: they are where the next run begins.
"""

import argparse
import sys
from pathlib import Path

import atheris

INSTRUMENTED = [
    "dras_model.imaging",
    "dras_service.gateway.bodies",
    "dras_service.header",
    "python_multipart",
    "zipfile",
    "tarfile",
]
with atheris.instrument_imports(include=INSTRUMENTED):
    from fuzz.targets import TARGETS, run

WITHIN_MB = 512
MOST_BYTES = 1 << 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--within", type=int, default=2, help="seconds for one input")
    options = parser.parse_args()
    target = TARGETS[options.name]
    known = options.keep / options.name
    known.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (known / f"seed-{number}").write_bytes(seed)
    switches = [
        f"-max_total_time={options.seconds}",
        f"-timeout={options.within}",
        f"-rss_limit_mb={WITHIN_MB}",
        f"-max_len={MOST_BYTES}",
        f"-artifact_prefix={options.keep}/broken-{options.name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *switches, str(known)], lambda content: run(target, content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
