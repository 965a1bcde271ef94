"""What a result tells of its encoding: the last of it to be known, and all of it that depends on the device.

Apart from `pipeline`, because a study may be encoded in another process, on another machine, than it was prepared.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.heads import Head
from dras_model.encoder.manifest import Trained, Untrained
from dras_model.encoder.runtime import Encoder
from dras_model.results.codes import Code
from dras_model.results.study import Record, Region, Score, StudyResult, StudyWarning, WeightsProvenance

ESTIMATE = "ESTIMATE-"  # begins the code of a score that a head gives
NO_PATCH = "no valid patch lies where the head looks"


class Estimate(Record):
    """What one head of the bundle says of the patient."""

    head: Head
    value: float | None

    def told_of(self, whole: Score) -> Score:
        """Return the score of both lungs, whose voxels and phase are those of the score `whole`."""
        reached, met = self.head.performance, self.head.calibration
        told = {
            "cohort_n": float(self.head.cohort.n),
            "performance": reached.value,
            "performance_low": reached.low,
            "performance_high": reached.high,
            "calibration_slope": met.slope,
            "calibration_intercept": met.intercept,
        }
        return Score(
            code=f"{ESTIMATE}{self.head.name}",
            value=self.value,
            unit=self.head.unit,
            kind="model_estimate",
            region=Region.WHOLE,
            n_voxels=whole.n_voxels,
            volume_ml=whole.volume_ml,
            phase=whole.phase,
            definition=self.head.definition,
            reference="head of the model bundle named in the provenance",
            details=told if met.error is None else told | {"calibration_error": met.error},
            reason=NO_PATCH if self.value is None else None,
        )


class Encoding(Record):
    """Which weights made the embeddings, what they ran on (name and version), and what their heads estimate."""

    weights: WeightsProvenance
    device: str
    runtime: tuple[str, str]
    estimates: tuple[Estimate, ...] = ()

    @classmethod
    def of(cls, encoder: Encoder, embeddings: NDArray[np.float32], valid: NDArray[np.bool_]) -> Self:
        """Return what an encoder says of itself, and of a study with `embeddings` (n, width), `valid` (n,)."""
        weights = encoder.bundle.provenance_of(encoder.form.file)
        estimates = tuple(
            Estimate(head=head, value=head.estimate(embeddings, valid)) for head in encoder.bundle.heads
        )
        return cls(weights=weights, device=encoder.device, runtime=encoder.runtime, estimates=estimates)

    def told_in(self, result: StudyResult) -> StudyResult:
        """Return a result of `pipeline.describe` with this in its provenance."""
        name, version = self.runtime
        told = {
            "weights": self.weights,
            "device": self.device,
            "libraries": {**result.provenance.libraries, name: version},
        }
        whole = next((score for score in result.scores if score.region is Region.WHOLE), None)
        given = () if whole is None else tuple(each.told_of(whole) for each in self.estimates)
        return result.model_copy(
            update={
                "provenance": result.provenance.model_copy(update=told),
                "scores": (*result.scores, *given),
            }
        )


def weights_warnings(bundle: Bundle) -> list[StudyWarning]:
    """Return what has to be said of any result of a bundle, before a patch is encoded."""
    training = bundle.manifest.training
    if isinstance(training, Untrained):
        return [StudyWarning.of(Code.UNTRAINED_WEIGHTS, seed=training.seed)]
    if isinstance(training, Trained) and training.knows_phantoms_only:
        return [StudyWarning.of(Code.PHANTOM_TRAINED_WEIGHTS, data=training.data)]
    return []
