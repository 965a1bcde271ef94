"""From a run to a model bundle that `dras extract` uses: the query encoder, and where it came from.

The bundle appears only after its served graph has given, on patches of the store, what the trained network gives.
"""

from pathlib import Path

import numpy as np
import torch

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Trained
from dras_model.encoder.network import EncoderNetwork, normalise
from dras_model.encoder.runtime import Encoder
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas
from dras_model.outputs.folder import new_folder
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training import checkpoint
from dras_training.method import Method
from dras_training.population import estimate_statistics
from dras_training.pretrain import RECIPE, plan
from dras_training.recipe import Recipe, parse_recipe_json
from dras_training.store import PatchStore

N_COMPARED = 64  # patches on which graph and network are compared


def read_run(run: Path) -> Recipe:
    """Return the recipe that `run` was trained by. Raises SetupRefused."""
    try:
        content = (run / RECIPE).read_text("utf-8")
    except OSError as fault:
        raise SetupRefused(Code.RESUME_IMPOSSIBLE, name=run.name, reason=f"it has no {RECIPE}") from fault
    return parse_recipe_json(content, name=f"{run.name}/{RECIPE}")


def export(run: Path, destination: Path, *, atlas: Atlas, store: PatchStore, name: str) -> Bundle:
    """Write the bundle of what `run` has trained so far to the new folder `destination`.

    Raises SetupRefused: RESUME_IMPOSSIBLE, OUTPUT_NOT_WRITABLE, EXPORT_DIFFERS.
    """
    recipe = read_run(run)
    known = checkpoint.identity(recipe, atlas_sha256=atlas.sha256, store_sha256=store.sha256)
    saved = checkpoint.load(run, identity=known)
    method = Method(recipe, atlas)
    method.load_state_dict(saved["method"])
    if (
        recipe.normalisation.kind == "batch"
    ):  # the other kind was trained with the statistics it is served with
        estimate_statistics(method.query, store, atlas.locations, seed=recipe.optimisation.seed)
    weights = method.query.to_weights()
    trained = _provenance(recipe, store, atlas, steps=int(saved["step"]))
    with new_folder(destination) as draft:
        bundle = create_bundle(draft, weights, atlas, name=name, training=trained, licence=recipe.licence)
        require_same(bundle, weights, store, atlas)
    return Bundle.load(destination)


def difference(bundle: Bundle, weights: EncoderWeights, store: PatchStore, atlas: Atlas) -> float:
    """Return the largest |Δ| of embeddings of patches of the store, by the served graph and by the network."""
    subjects, places = np.nonzero(store.valid)
    chosen = np.linspace(0, len(subjects) - 1, min(N_COMPARED, len(subjects))).astype(int)
    patches = np.stack([store.read((int(places[i]),), (int(subjects[i]),))[0, 0] for i in chosen])
    locations = atlas.locations[places[chosen]]
    served = Encoder.open(bundle).encode(patches, locations)
    network = EncoderNetwork.from_weights(weights)
    with torch.no_grad():
        found = network.embed(normalise(torch.from_numpy(patches)), torch.from_numpy(locations))
    return float(np.abs(found.numpy() - served).max())


def require_same(bundle: Bundle, weights: EncoderWeights, store: PatchStore, atlas: Atlas) -> None:
    """Refuse a bundle whose graph gives something else than the network. Raises SetupRefused EXPORT_DIFFERS."""
    limit = bundle.manifest.tolerance.max_difference
    found = difference(bundle, weights, store, atlas)
    if not found <= limit:  # written so that a NaN fails
        raise SetupRefused(Code.EXPORT_DIFFERS, name=bundle.manifest.name, difference=found, limit=limit)


def _provenance(recipe: Recipe, store: PatchStore, atlas: Atlas, *, steps: int) -> Trained:
    return Trained(
        data=recipe.data.description,
        epochs=round(steps / plan(recipe, store, atlas).steps_per_epoch, 3),
        seed=recipe.optimisation.seed,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        steps=steps,
        subjects=len(np.unique(store.people)),
        store_sha256=store.sha256,
    )
