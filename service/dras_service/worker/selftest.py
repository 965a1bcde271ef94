"""Opens the atlas and the bundle of the settings once, before a worker takes work.

Runs in a process of its own, `python -m dras_service.worker.selftest`: what it loads must not be
forked. Opening checks every hash and runs the golden vectors; on first use it makes the default bundle.
"""

import subprocess
import sys

from dras_model.results.errors import SetupRefused
from dras_service.errors import CannotServe
from dras_service.settings import read_settings
from dras_service.worker.engine import PipelineEngine

_REFUSED = 4


def check() -> None:
    """Run the test. Raises CannotServe with the code of what is wrong."""
    test = subprocess.run(
        [sys.executable, "-m", "dras_service.worker.selftest"], stdout=subprocess.PIPE, text=True, check=False
    )
    if test.returncode == _REFUSED:
        code, _, sentence = test.stdout.strip().partition(" ")
        raise CannotServe(code, sentence)
    if test.returncode != 0:
        raise CannotServe("SELF_TEST_FAILED", "The encoder cannot be opened; see the log above.")


def main() -> int:
    """Open everything; a refusal is told on standard output as code and sentence."""
    try:
        PipelineEngine(read_settings().worker).open()
    except SetupRefused as refusal:
        sys.stdout.write(f"{refusal.code} {refusal}\n")
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
