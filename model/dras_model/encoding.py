"""What a result tells of its encoding: the last of it to be known, and all of it that depends on the device.

Apart from `pipeline`, because a study may be encoded in another process, on another machine, than it was prepared.
"""

from typing import Self

from dras_model.encoder.runtime import Encoder
from dras_model.results.study import Record, StudyResult, WeightsProvenance


class Encoding(Record):
    """Which weights made the embeddings, and what they ran on; `runtime` is a name and a version."""

    weights: WeightsProvenance
    device: str
    runtime: tuple[str, str]

    @classmethod
    def of(cls, encoder: Encoder) -> Self:
        """Return what an encoder says of itself."""
        weights = encoder.bundle.provenance_of(encoder.form.file)
        return cls(weights=weights, device=encoder.device, runtime=encoder.runtime)

    def told_in(self, result: StudyResult) -> StudyResult:
        """Return a result of `pipeline.describe` with this in its provenance."""
        name, version = self.runtime
        told = {
            "weights": self.weights,
            "device": self.device,
            "libraries": {**result.provenance.libraries, name: version},
        }
        return result.model_copy(update={"provenance": result.provenance.model_copy(update=told)})
