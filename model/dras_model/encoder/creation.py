"""Makes a model bundle from weights and an atlas: the served graphs, and golden vectors that prove them.

One graph runs anywhere; the one that was fastest on an execution provider takes its place there.

The golden embeddings come from `reference`, never from the graph they are to judge.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder import graph, reference
from dras_model.encoder.architecture import PATCH_SIZE, EncoderConfig
from dras_model.encoder.bundle import GOLDEN, WEIGHTS, Bundle, digests, write_bundle
from dras_model.encoder.calibration import calibrate, textures
from dras_model.encoder.golden import Golden
from dras_model.encoder.heads import Head
from dras_model.encoder.manifest import (
    DEFAULT_GRAPH,
    WITH_HEADS,
    AtlasIdentity,
    Device,
    FormName,
    GraphForm,
    Imported,
    Manifest,
    Preprocessing,
    Tolerance,
    Trained,
    Untrained,
)
from dras_model.encoder.official import ImportedCheckpoint
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.imaging.atlas import Atlas

GOLDEN_SEED = 20_240_101  # any fixed number: the golden patches are the same in every bundle
N_GOLDEN_TEXTURES = 6
N_CALIBRATION_PATCHES = 32
MAX_DIFFERENCE = 1e-4  # ten times what float32 loses against float64 on embeddings of order one to ten
LICENCE = "MIT"
_ANYWHERE: FormName = "grouped"
_FASTEST: dict[Device, FormName] = {"cpu": "blocked", "cuda": "unfolded"}  # decisions 0009 and 0010


def create_untrained(
    destination: Path, atlas: Atlas, *, seed: int, config: EncoderConfig | None = None
) -> Bundle:
    """Write a bundle of weights drawn from `seed`, whose embeddings tell patches apart and mean nothing."""
    patches = textures(N_CALIBRATION_PATCHES, seed=seed)
    locations = _spread(atlas, N_CALIBRATION_PATCHES)
    weights = calibrate(initialise(config or EncoderConfig(), seed=seed), patches, locations)
    return create_bundle(
        destination, weights, atlas, name=f"untrained-{seed}", training=Untrained(seed=seed), licence=LICENCE
    )


def create_imported(
    destination: Path, checkpoint: ImportedCheckpoint, atlas: Atlas, *, name: str, licence: str
) -> Bundle:
    """Write a bundle of the authors' weights, as `official.import_checkpoint` read them for `atlas`."""
    training = Imported(checkpoint_sha256=checkpoint.sha256, epoch=checkpoint.epoch)
    return create_bundle(
        destination, checkpoint.weights, atlas, name=name, training=training, licence=licence
    )


def create_bundle(
    destination: Path,
    weights: EncoderWeights,
    atlas: Atlas,
    *,
    name: str,
    training: Untrained | Imported | Trained,
    licence: str,
    batch: int = graph.BATCH,
    cuda_batch: int = graph.CUDA_BATCH,
) -> Bundle:
    """Write a bundle of `weights` for `atlas` at `destination` and return it, verified.

    The batches are those of the graphs for a CPU and for a GPU. The same arguments give the same bytes. Raises
    `SetupRefused` (OUTPUT_NOT_WRITABLE).
    """
    golden = _golden(weights, atlas)
    anywhere = _form(_ANYWHERE, DEFAULT_GRAPH, batch=batch)
    batches: dict[Device, int] = {"cpu": batch, "cuda": cuda_batch}
    fastest = {
        device: _form(name, f"encoder.{device}.onnx", batch=batches[device])
        for device, name in _FASTEST.items()
    }
    graphs = {form.file: _graph(weights, form) for form in (anywhere, *fastest.values())}
    files = {**graphs, GOLDEN: golden.to_bytes(), WEIGHTS: weights.to_bytes()}
    largest = float(np.abs(golden.embeddings).max())
    manifest = Manifest(
        name=name,
        encoder=weights.config,
        preprocessing=Preprocessing(orientation=atlas.orientation),
        atlas=AtlasIdentity(
            name=atlas.name, version=atlas.version, sha256=atlas.sha256, n_patches=len(atlas.corners)
        ),
        graph=anywhere,
        provider_graphs=fastest,
        tolerance=Tolerance(max_difference=MAX_DIFFERENCE * max(1.0, largest / 10.0)),
        training=training,
        licence=licence,
        files=digests(files),
    )
    write_bundle(destination, manifest, files=files)
    return Bundle.load(destination)


def with_heads(bundle: Bundle, destination: Path, heads: Sequence[Head], *, name: str) -> Bundle:
    """Write a copy of a bundle with `heads` added at `destination`; one of the same name takes the other's place.

    The copy is unsigned, as it is another bundle. Raises `SetupRefused` (OUTPUT_NOT_WRITABLE, BUNDLE_INVALID), and
    ValueError where two of `heads` have one name.
    """
    if len({head.name for head in heads}) < len(heads):
        raise ValueError("two heads have one name")
    known = {head.name: head for head in (*bundle.heads, *heads)}
    kept = {file: bundle.read(file) for file in bundle.manifest.files if file not in bundle.manifest.heads}
    files = kept | {head.file: head.to_bytes() for head in known.values()}
    changes = {
        "schema_version": WITH_HEADS,
        "name": name,
        "heads": tuple(head.file for head in known.values()),
        "files": digests(files),
    }
    write_bundle(destination, bundle.manifest.model_copy(update=changes), files=files)
    return Bundle.load(destination)


def _form(name: FormName, file: str, *, batch: int) -> GraphForm:
    return GraphForm(
        file=file,
        opset=graph.OPSET,
        ir_version=graph.IR_VERSION,
        batch=batch,
        form=name,
        channel_block=graph.PLANS[name].channel_block,
    )


def _graph(weights: EncoderWeights, form: GraphForm) -> bytes:
    model = graph.build(weights, form=form.form, batch=form.batch)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _golden(weights: EncoderWeights, atlas: Atlas) -> Golden:
    """Textures, a patch of padding and one with values far outside the window, spread over the atlas."""
    generator = np.random.Generator(np.random.PCG64(GOLDEN_SEED))
    cube = (1, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE)
    patches = np.concatenate(
        [
            textures(N_GOLDEN_TEXTURES, seed=GOLDEN_SEED),
            np.full(cube, -1024, dtype=np.int16),
            generator.integers(-4000, 8000, cube, dtype=np.int16),
        ]
    )
    locations = _spread(atlas, len(patches))
    embeddings = reference.embed(weights, patches, locations).astype(np.float32)
    return Golden(patches, locations, embeddings)


def _spread(atlas: Atlas, n: int) -> NDArray[np.float32]:
    """Locations (n, 3) of corners that lie evenly in the order of the atlas."""
    chosen = np.linspace(0, len(atlas.corners) - 1, n).round().astype(int)
    locations: NDArray[np.float32] = atlas.locations[chosen]
    return locations
