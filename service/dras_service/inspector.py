"""Looks at a study's headers for the gateway: `python -m dras_service.inspector PATH SERIES`, SERIES may be ''.

A process of its own, so that the gateway loads no reader of images, and one that needs nothing that computes, so
that the gateway's image has none (decision 0086). The files themselves are read by the confined process that reads
them for a job. Writes one JSON document, and ends with whoever started it.
"""

import os
import sys
from pathlib import Path

from dras_model.imaging.reading.confinement import end_with_parent
from dras_model.results.errors import StudyRefused
from dras_service.api.validation import Refusal, Validation


def main() -> int:
    """Inspect what the arguments name and print a Validation, whose counts are the gateway's to fill."""
    end_with_parent(os.getppid())
    from dras_model.inspecting import inspect  # noqa: PLC0415 - a second's import, while we may be ended already

    path, series_uid = Path(sys.argv[1]), sys.argv[2] or None
    try:
        found = Validation(
            usable=True, n_files=0, size_bytes=0, inspection=inspect(path, series_uid=series_uid)
        )
    except StudyRefused as refusal:
        told = Refusal(code=refusal.code, message=str(refusal))
        found = Validation(usable=False, n_files=0, size_bytes=0, refusal=told)
    sys.stdout.write(found.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
