"""The pipeline as a worker holds it: an encoder is opened with the first study that asks for its bundle.

The imaging stack is imported here and only when it is needed, in the child: a worker is up in a second.
"""

from pathlib import Path
from typing import Protocol

from dras_model.results.progress import Report
from dras_model.results.study import StudyResult
from dras_service.settings import WorkerSettings
from dras_service.worker.encoders import Encoders


class Engine(Protocol):
    """Computes one study."""

    def __call__(
        self, source: Path, out: Path, *, series_uid: str | None, bundle: str | None, report: Report
    ) -> StudyResult:
        """Write all outputs of `source`, encoded by `bundle`, to the folder `out`.

        Raises StudyRefused, SetupRefused.
        """


class PipelineEngine:
    """The pipeline with the bundles of the settings."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._encoders = Encoders(settings)

    def __call__(
        self, source: Path, out: Path, *, series_uid: str | None, bundle: str | None, report: Report
    ) -> StudyResult:
        """Write all outputs of `source`, encoded by `bundle`, to the folder `out`.

        Raises StudyRefused, SetupRefused.
        """
        from dras_model.pipeline import Choices, extract  # noqa: PLC0415 - see the top

        atlas, encoder, _ = self._encoders.open(bundle)
        return extract(
            source,
            out,
            atlas=atlas,
            encoder=encoder,
            choices=Choices(series_uid=series_uid, segmenter=self._settings.segmenter),
            report=report,
        )
