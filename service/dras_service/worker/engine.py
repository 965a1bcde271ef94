"""The pipeline as a worker holds it, in one go or by stages: an encoder is opened when a study asks for its bundle.

The imaging stack is imported here and only when it is needed, in the child: a worker is up in a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dras_model.results.progress import Report
from dras_model.results.study import StudyResult
from dras_model.scores.limits import Limits
from dras_service.api.options import JobOptions
from dras_service.settings import WorkerSettings
from dras_service.worker.encoders import Encoders

if TYPE_CHECKING:
    from dras_model.choices import Choices
    from dras_model.scores.scoring import ScoringChoices

_RUNTIME = "onnxruntime"


class DeviceLost(Exception):
    """The GPU has failed under the encoder: this process cannot use it any more, another may."""


class Engine(Protocol):
    """Computes one study."""

    def __call__(
        self,
        source: Path,
        out: Path,
        *,
        series_uid: str | None,
        bundle: str | None,
        options: Mapping[str, Any],
        report: Report,
    ) -> StudyResult:
        """Write all outputs of `source`, encoded by `bundle`, to the folder `out`; `options` are a JobOptions.

        Raises StudyRefused, SetupRefused.
        """


class StagedEngine(Protocol):
    """Computes a study in three stages. Every folder that is written is new."""

    def prepare(
        self,
        source: Path,
        draft: Path,
        *,
        series_uid: str | None,
        bundle: str | None,
        options: Mapping[str, Any],
        report: Report,
    ) -> None:
        """Write what the next stage needs of `source` to `draft`. Raises StudyRefused, SetupRefused."""

    def encode(
        self, drafts: Sequence[Path], encoded: Sequence[Path], *, bundle: str | None, report: Report
    ) -> None:
        """Encode all drafts by one bundle, each into a folder of `encoded`. Raises SetupRefused, DeviceLost."""

    def finish(self, draft: Path, out: Path, *, source: Path | None, report: Report) -> StudyResult:
        """Write all outputs of an encoded draft to `out`, DICOM objects as well where the scan is given."""


class PipelineEngine:
    """The pipeline with the bundles of the settings; both kinds of engine."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._encoders = Encoders(settings)

    def __call__(
        self,
        source: Path,
        out: Path,
        *,
        series_uid: str | None,
        bundle: str | None,
        options: Mapping[str, Any],
        report: Report,
    ) -> StudyResult:
        """Write all outputs of `source`, encoded by `bundle`, to the folder `out`; `options` are a JobOptions.

        Raises StudyRefused, SetupRefused.
        """
        from dras_model.pipeline import extract  # noqa: PLC0415 - see the top

        with self._device_watched():
            atlas, encoder, _ = self._encoders.open(bundle)
            choices = self._choices(series_uid, options)
            return extract(source, out, atlas=atlas, encoder=encoder, choices=choices, report=report)

    def prepare(
        self,
        source: Path,
        draft: Path,
        *,
        series_uid: str | None,
        bundle: str | None,
        options: Mapping[str, Any],
        report: Report,
    ) -> None:
        """Write what the next stage needs of `source` to `draft`. Raises StudyRefused, SetupRefused."""
        from dras_model.staged import prepare_draft  # noqa: PLC0415 - see the top

        atlas, weights = self._encoders.weights(bundle)
        choices = self._choices(series_uid, options)
        prepare_draft(source, draft, atlas=atlas, bundle=weights, choices=choices, report=report)

    def encode(
        self, drafts: Sequence[Path], encoded: Sequence[Path], *, bundle: str | None, report: Report
    ) -> None:
        """Encode all drafts by one bundle, each into a folder of `encoded`. Raises SetupRefused, DeviceLost."""
        from dras_model.staged import encode_drafts  # noqa: PLC0415 - see the top

        with self._device_watched():
            encode_drafts(drafts, encoded, encoder=self._encoders.open(bundle).encoder, report=report)

    def finish(self, draft: Path, out: Path, *, source: Path | None, report: Report) -> StudyResult:
        """Write all outputs of an encoded draft to `out`, DICOM objects as well where the scan is given."""
        from dras_model.staged import finish_draft  # noqa: PLC0415 - see the top

        return finish_draft(draft, out, source=source, report=report)

    def _choices(self, series_uid: str | None, options: Mapping[str, Any]) -> "Choices":
        from dras_model.choices import Choices  # noqa: PLC0415 - see the top

        asked = JobOptions.model_validate(options)
        return Choices(
            series_uid=series_uid,
            segmenter=self._settings.segmenter,
            scoring=_scoring(asked),
            dicom=asked.dicom,
            view=self._settings.view,
        )

    @contextmanager
    def _device_watched(self) -> Iterator[None]:
        """Raise DeviceLost for whatever the runtime says of a GPU: after one error CUDA answers only errors."""
        try:
            yield
        except Exception as error:
            if self._settings.device == "cuda" and type(error).__module__.startswith(_RUNTIME):
                raise DeviceLost(type(error).__name__) from error
            raise


def _scoring(options: JobOptions) -> "ScoringChoices":
    from dras_model.scores.scoring import ScoringChoices  # noqa: PLC0415 - see the top

    return ScoringChoices(
        phase=options.phase,
        reference_volume_ml=options.reference_volume_ml,
        limits=Limits.model_validate(options.limits),
        harmonise=options.harmonise,
    )
