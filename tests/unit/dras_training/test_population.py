import pytest
import torch

from dras_model.encoder.network import normalise
from dras_training.method import new_network
from dras_training.normalisation import commit_statistics
from dras_training.population import agreement, estimate_statistics
from unit.dras_training.conftest import changed


def network(recipe, kind):
    return new_network(changed(recipe, normalisation={"kind": kind, "group": 4, "momentum": 0.02}))


def everything(store, atlas):
    """All patches of the store and the location of each."""
    n = len(atlas.corners)
    patches = torch.from_numpy(store.read(range(n), range(8)).reshape(-1, 32, 32, 32))
    return normalise(patches), torch.from_numpy(atlas.locations).repeat(8, 1)


def test_each_layer_s_statistics_are_those_of_what_evaluation_brings_it(recipe, store, few_corners):
    made = network(recipe, "batch")
    estimate_statistics(made, store, few_corners.locations, seed=0)
    seen = {}
    for name in ("bn1", "downsample2.bn1", "bn4"):
        layer = made.get_submodule(name)
        layer.register_forward_pre_hook(lambda _, given, n=name: seen.setdefault(n, given[0]))
    with torch.no_grad():
        made.eval().embed(*everything(store, few_corners))
    for name, images in seen.items():
        layer = made.get_submodule(name)
        flat = images.transpose(0, 1).flatten(1)
        torch.testing.assert_close(layer.running_mean, flat.mean(1), atol=2e-2, rtol=2e-2, msg=name)
        torch.testing.assert_close(layer.running_var, flat.var(1), atol=2e-2, rtol=5e-2, msg=name)


def test_an_estimate_leaves_the_recipe_s_groups_and_the_mode_as_they_were(recipe, store, few_corners):
    made = network(recipe, "running")
    estimate_statistics(made, store, few_corners.locations, seed=0)
    assert made.training
    assert (made.get_submodule("bn1").group, made.get_submodule("bn1").kind) == (4, "running")
    assert made.get_submodule("bn1").take_sums() is None


@pytest.mark.parametrize(("kind", "close"), [("running", True), ("batch", False)])
def test_embeddings_of_training_and_evaluation_agree_at_every_location_by_running_statistics(
    recipe, store, few_corners, kind, close
):
    made = network(recipe, kind)
    images, places = everything(store, few_corners)
    with torch.no_grad():
        for _ in range(12):  # more than the warm-up of four steps
            for at in range(len(few_corners.corners)):
                here = (places == places[at]).all(dim=1)
                made.embed(images[here][:4], places[at : at + 1])
            commit_statistics(made)
    cosines = [agreement(made, store, few_corners.locations, at=at) for at in range(len(few_corners.corners))]
    assert (min(cosines) > 0.98) is close
    assert made.get_submodule("bn1").take_sums() is None
