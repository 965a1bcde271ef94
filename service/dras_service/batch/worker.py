"""A worker of a batch, `python -m dras_service.batch.worker`: opens the weights once, computes case after case.

It ends with the batch, however that goes. Its standard output is the batch's; what libraries print goes to standard
error, which is its log.
"""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dras_model.imaging.reading.confinement import end_with_parent
from dras_model.results.errors import Refused as RefusedError
from dras_model.results.progress import Report
from dras_model.results.study import StudyResult
from dras_service.api.options import JobOptions
from dras_service.batch.messages import At, Defect, Finished, Order, Ready, Refused, Said, Setup

if TYPE_CHECKING:
    from dras_model.choices import Choices

Say = Callable[[Said], None]


class Engine(Protocol):
    """Computes one case, and leaves its result in the folder `out`."""

    def __call__(self, source: Path, out: Path, *, series_uid: str | None, report: Report) -> StudyResult:
        """Raise StudyRefused, SetupRefused."""


def main(open_engine: Callable[[Setup], Engine] | None = None) -> int:
    """Do what standard input says, a line a case, until it ends."""
    setup = Setup.model_validate_json(sys.stdin.readline())
    end_with_parent(setup.parent)
    if setup.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, setup.cores)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(said: Said) -> None:
        out.write(said.model_dump_json() + "\n")
        out.flush()

    try:
        engine = (open_engine or Pipeline)(setup)
    except RefusedError as refused:
        say(Refused(code=refused.code, fields=refused.fields))
        return 1
    say(Ready())
    for line in sys.stdin:
        say(_computed(Order.model_validate_json(line), engine, say))
    return 0


def _computed(order: Order, engine: Engine, say: Say) -> Said:
    try:
        result = engine(
            Path(order.source),
            Path(order.out),
            series_uid=order.series_uid,
            report=lambda stage, fraction: say(At(stage=stage, fraction=fraction)),
        )
    except RefusedError as refused:
        return Refused(code=refused.code, fields=refused.fields)
    except Exception as error:  # noqa: BLE001 - the doorman: one case must not end a batch of thousands
        traceback.print_exc()
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return Defect(how=f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}")
    return Finished(status=result.status)


class Pipeline:
    """The pipeline of `dras extract` with the weights of a set-up. Raises SetupRefused where they are at fault."""

    def __init__(self, setup: Setup) -> None:
        from dras_model.encoder.runtime import Encoder  # noqa: PLC0415 - after the cores are chosen
        from dras_model.library import open_weights  # noqa: PLC0415

        self._setup = setup
        self._atlas, bundle = open_weights(setup.bundle, setup.atlas)
        self._encoder = Encoder.open(bundle, device=setup.device, threads=setup.threads)

    def __call__(self, source: Path, out: Path, *, series_uid: str | None, report: Report) -> StudyResult:
        """Compute one case, and leave its result in the folder `out`. Raises StudyRefused, SetupRefused."""
        from dras_model.pipeline import extract  # noqa: PLC0415 - see above

        return extract(
            source,
            out,
            atlas=self._atlas,
            encoder=self._encoder,
            choices=choices_of(self._setup, series_uid=series_uid),
            report=report,
            overwrite=True,
        )


def choices_of(setup: Setup, *, series_uid: str | None = None) -> "Choices":
    """Return what is asked of a study."""
    from dras_model.choices import Choices  # noqa: PLC0415 - see above
    from dras_model.scores.limits import Limits  # noqa: PLC0415
    from dras_model.scores.scoring import ScoringChoices  # noqa: PLC0415

    options = JobOptions.model_validate(setup.options)
    scoring = ScoringChoices(
        phase=options.phase,
        reference_volume_ml=options.reference_volume_ml,
        limits=Limits.model_validate(options.limits),
        harmonise=options.harmonise,
    )
    return Choices(series_uid=series_uid, segmenter=setup.segmenter, scoring=scoring, dicom=options.dicom)


if __name__ == "__main__":
    sys.exit(main())
