"""What a model bundle says of itself: `manifest.json`, in pydantic.

The preprocessing in it is a contract: weights are valid only for patches that were made this way, so a
bundle that asks for another way than this version's is refused, not adapted to.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from dras_model.encoder.architecture import INTENSITY_SCALE_HU, PATCH_SIZE, WINDOW_HU, EncoderConfig
from dras_model.results.study import NOTICE, Record

SCHEMA_VERSION: Literal["1.0"] = "1.0"
UNTRAINED = "untrained"

Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class Preprocessing(Record):
    """How a patch is made from a CT (Yu et al. 2024, as released). Only the orientation may vary."""

    spacing_mm: float = 1.0
    interpolation: str = "cubic B-spline"
    orientation: str = Field(
        "LAS", pattern="^[LRAPIS]{3}$", description="where x, y and z of a patch grow to"
    )
    padding_voxels: int = 60
    padding_hu: int = -1024
    window_hu: tuple[int, int] = WINDOW_HU
    patch_size: int = PATCH_SIZE
    intensity: str = f"(clip(HU, {WINDOW_HU[0]}, {WINDOW_HU[1]}) + 1024) / {INTENSITY_SCALE_HU} - 1"
    location: str = "corner / max(corner) * 2 - 1, per axis"


class AtlasIdentity(Record):
    """The atlas whose corners the locations are."""

    name: str
    version: str
    sha256: Sha256
    n_patches: int = Field(ge=1)


class GraphForm(Record):
    """What a runtime has to know of `encoder.onnx`."""

    opset: int
    ir_version: int
    batch: int = Field(ge=1, description="patches that go in at once")


class Tolerance(Record):
    """How far the graph may be from the golden embeddings, which were computed in float64."""

    max_difference: float = Field(gt=0, description="largest |Δ| of one number of an embedding")
    min_cosine: float = Field(0.999999, gt=0, le=1, description="between an embedding and its golden one")


class Untrained(Record):
    """Weights drawn from a seed: they show that everything works and mean nothing."""

    kind: Literal["untrained"] = "untrained"
    seed: int

    @property
    def summary(self) -> str:
        """The provenance in a few words."""
        return UNTRAINED


class Imported(Record):
    """Weights of the DrasCLR authors' format, imported as they are."""

    kind: Literal["imported"] = "imported"
    checkpoint_sha256: Sha256
    epoch: int

    @property
    def summary(self) -> str:
        """The provenance in a few words."""
        return f"imported from a DrasCLR checkpoint, epoch {self.epoch}"


class Trained(Record):
    """Weights trained by this project, on what `data` says."""

    kind: Literal["trained"] = "trained"
    data: str
    epochs: float
    seed: int

    @property
    def summary(self) -> str:
        """The provenance in a few words."""
        return f"trained on {self.data}, {self.epochs:g} epochs"


Training: TypeAlias = Annotated[Untrained | Imported | Trained, Field(discriminator="kind")]


class Manifest(Record):
    """The whole of `manifest.json`. `files` gives the SHA-256 of every other file of the bundle."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    name: str = Field(min_length=1, max_length=100)
    encoder: EncoderConfig
    preprocessing: Preprocessing
    atlas: AtlasIdentity
    graph: GraphForm
    tolerance: Tolerance
    training: Training
    licence: str
    intended_use: str = NOTICE
    files: dict[FileName, Sha256]
