"""The pipeline as a worker holds it: the encoder is opened once a process, with the first study.

The imaging stack is imported here and only when it is needed, in the child: a worker is up in a second.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dras_model.results.progress import Report
from dras_model.results.study import StudyResult
from dras_service.settings import WorkerSettings

if TYPE_CHECKING:
    from dras_model.encoder.runtime import Encoder
    from dras_model.imaging.atlas import Atlas


class Engine(Protocol):
    """Computes one study."""

    def __call__(self, source: Path, out: Path, *, series_uid: str | None, report: Report) -> StudyResult:
        """Write all outputs of `source` to the folder `out`. Raises StudyRefused, SetupRefused."""


class PipelineEngine:
    """The pipeline with the atlas and the encoder of the settings."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._opened: tuple[Atlas, Encoder] | None = None

    def __call__(self, source: Path, out: Path, *, series_uid: str | None, report: Report) -> StudyResult:
        """Write all outputs of `source` to the folder `out`. Raises StudyRefused, SetupRefused."""
        from dras_model.pipeline import extract  # noqa: PLC0415 - see the top

        atlas, encoder = self.open()
        return extract(
            source,
            out,
            atlas=atlas,
            encoder=encoder,
            series_uid=series_uid,
            segmenter=self._settings.segmenter,
            report=report,
        )

    def open(self) -> "tuple[Atlas, Encoder]":
        """Return the atlas and the encoder, opened and proven once. Raises SetupRefused."""
        if self._opened is None:
            from dras_model.encoder.runtime import Encoder  # noqa: PLC0415 - see the top
            from dras_model.library import open_atlas, open_bundle  # noqa: PLC0415 - see the top

            atlas = open_atlas(self._settings.atlas)
            bundle = open_bundle(self._settings.bundle, atlas)
            encoder = Encoder.open(bundle, device=self._settings.device, threads=self._settings.threads)
            self._opened = atlas, encoder
        return self._opened
