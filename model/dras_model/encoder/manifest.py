"""What a model bundle says of itself: `manifest.json`, in pydantic.

The preprocessing in it is a contract: weights are valid only for patches that were made this way, so a
bundle that asks for another way than this version's is refused, not adapted to. Pure pydantic: neither
files nor arrays are touched here.
"""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from dras_model.encoder.architecture import INTENSITY_SCALE_HU, PATCH_SIZE, WINDOW_HU, EncoderConfig
from dras_model.results.study import NOTICE, Record

SCHEMA_VERSION: Literal["1.1"] = "1.1"
WITH_HEADS: Literal["1.2"] = "1.2"  # the same, and `heads`; a version that knows none refuses it and says so
UNTRAINED, PHANTOM = "untrained", "phantom"  # in what is told of the training
DEFAULT_GRAPH = "encoder.onnx"

Device: TypeAlias = Literal["cpu", "cuda"]  # where a graph runs; each is one ONNX Runtime execution provider
DEVICES: tuple[Device, ...] = ("cpu", "cuda")
FormName: TypeAlias = Literal["grouped", "unfolded", "blocked"]

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
    """What a runtime has to know of one graph of the bundle."""

    file: FileName = DEFAULT_GRAPH
    opset: int
    ir_version: int
    batch: int = Field(ge=1, description="patches that go in at once")
    form: FormName = Field("grouped", description="how its layers are written: a module of `forms`")
    channel_block: int | None = Field(
        None, ge=1, description="channels a CPU's kernels must keep side by side to run it; null: any will do"
    )


class Limit(Record):
    """How far one execution provider may be from the golden embeddings, and how it computes."""

    max_difference: float = Field(gt=0, description="largest |Δ| of one number of an embedding")
    min_cosine: float = Field(0.999999, ge=-1, le=1, description="between an embedding and its golden one")
    tf32: bool = Field(False, description="whether products may be rounded to the 10 bits of TF32 (CUDA)")
    measured: float | None = Field(
        None, ge=0, description="the |Δ| seen when the tolerance was published; null: not measured"
    )


def _same_everywhere(stated: dict[str, Any]) -> dict[Device, Limit]:
    return {
        device: Limit(
            max_difference=stated.get("max_difference", 1.0), min_cosine=stated.get("min_cosine", 0.0)
        )
        for device in DEVICES
    }


class Tolerance(Record):
    """How far a graph may be from the golden embeddings, which were computed in float64.

    `max_difference` and `min_cosine` are the bundle's own promise; `providers` says what holds on each
    execution provider, which is the same unless the maker states and measures otherwise.
    """

    max_difference: float = Field(gt=0, description="largest |Δ| of one number of an embedding")
    min_cosine: float = Field(0.999999, ge=-1, le=1, description="between an embedding and its golden one")
    providers: dict[Device, Limit] = Field(default_factory=_same_everywhere)

    def on(self, device: Device) -> Limit:
        """Return the limit on `device`; the bundle's own where the manifest names none."""
        own = Limit(max_difference=self.max_difference, min_cosine=self.min_cosine)
        return self.providers.get(device, own)


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
    epoch: int | None = Field(None, ge=0, description="null: the checkpoint does not say")

    @property
    def summary(self) -> str:
        """The provenance in a few words."""
        epoch = "unknown" if self.epoch is None else self.epoch
        return f"imported from a DrasCLR checkpoint, epoch {epoch}"


class Trained(Record):
    """Weights trained by this project, on what `data` says."""

    kind: Literal["trained"] = "trained"
    data: str
    epochs: float
    seed: int
    recipe: str | None = Field(None, description="name of the recipe; null: not told, as for the next four")
    recipe_sha256: Sha256 | None = Field(None, description="of every value that shaped the weights")
    steps: int | None = Field(None, ge=0)
    subjects: int | None = Field(None, ge=1)
    store_sha256: Sha256 | None = Field(None, description="of the patch store: its subjects and their images")

    @property
    def summary(self) -> str:
        """The provenance in a few words."""
        return f"trained on {self.data}, {self.epochs:g} epochs"

    @property
    def knows_phantoms_only(self) -> bool:
        """Whether nobody whom they were trained on ever lived, as `data` says."""
        return PHANTOM in self.data.lower()


Training: TypeAlias = Annotated[Untrained | Imported | Trained, Field(discriminator="kind")]


class Manifest(Record):
    """The whole of `manifest.json`.

    `files` gives the SHA-256 of every other file of the bundle but the two that guard the manifest itself:
    SHA256SUMS and the signature.
    """

    schema_version: Literal["1.1", "1.2"] = SCHEMA_VERSION
    name: str = Field(min_length=1, max_length=100)
    encoder: EncoderConfig
    preprocessing: Preprocessing
    atlas: AtlasIdentity
    graph: GraphForm
    provider_graphs: dict[Device, GraphForm] = Field(
        default_factory=dict, description="forms that take the place of `graph` on one execution provider"
    )
    tolerance: Tolerance
    training: Training
    licence: str
    intended_use: str = NOTICE
    heads: tuple[FileName, ...] = Field((), description="heads whose estimates are part of a result (1.2)")
    files: dict[FileName, Sha256]

    @model_validator(mode="after")
    def _graphs_are_files(self) -> Self:
        for form in (self.graph, *self.provider_graphs.values()):
            if form.file not in self.files:
                raise ValueError(f"`files` lists no {form.file}, the graph to run")
        return self

    @model_validator(mode="after")
    def _heads_are_files(self) -> Self:
        if self.heads and self.schema_version == SCHEMA_VERSION:
            raise ValueError(f"heads belong to schema {WITH_HEADS}")
        for name in self.heads:
            if name not in self.files:
                raise ValueError(f"`files` lists no {name}, a head")
        return self

    def graph_on(self, device: Device) -> GraphForm:
        """Return the graph that serves `device`."""
        return self.provider_graphs.get(device, self.graph)
