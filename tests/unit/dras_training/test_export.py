import numpy as np
import pytest
import torch

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_untrained
from dras_model.encoder.network import normalise
from dras_model.encoder.runtime import Encoder
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training import checkpoint, export
from dras_training.pretrain import pretrain
from unit.dras_training.conftest import changed


@pytest.fixture(scope="module")
def trained(store, recipe, few_corners, tmp_path_factory):
    run = tmp_path_factory.mktemp("trained") / "run"
    return run, pretrain(recipe, store, few_corners, run, until=3).method


@pytest.fixture(scope="module")
def bundle(trained, store, few_corners, tmp_path_factory):
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    return export.export(trained[0], place, atlas=few_corners, store=store, name="mine")


def test_the_bundle_holds_the_query_encoder(bundle, trained):
    found, expected = Bundle.load(bundle.path).weights(), trained[1].query.to_weights()
    assert all(np.array_equal(found.parameters[name], value) for name, value in expected.parameters.items())


def test_the_bundle_says_where_it_came_from(bundle, recipe, store):
    told = bundle.manifest.training
    assert (told.kind, told.data, told.recipe) == ("trained", "2 phantoms, smoke test", "smoke")
    assert (told.recipe_sha256, told.store_sha256) == (recipe.sha256, store.sha256)
    assert (told.steps, told.subjects, told.epochs) == (3, 8, 0.25)
    assert "phantoms" in told.summary
    assert bundle.manifest.licence == "MIT"


def test_the_served_graph_gives_what_the_trained_network_gives_in_evaluation(
    bundle, trained, store, few_corners
):

    patches = store.read([0, 3, 5], [2])[0]
    network = trained[1].query.eval()
    with torch.no_grad():
        expected = torch.cat(
            [
                network.embed(
                    normalise(torch.from_numpy(patch[None])), torch.from_numpy(few_corners.locations[[at]])
                )
                for patch, at in zip(patches, (0, 3, 5), strict=True)
            ]
        )
    network.train()
    served = Encoder.open(bundle).encode(patches, few_corners.locations[[0, 3, 5]])
    assert float(np.abs(served - expected.numpy()).max()) <= bundle.manifest.tolerance.max_difference


def test_a_graph_that_differs_from_the_network_is_not_written(
    trained, store, few_corners, tmp_path, monkeypatch
):
    monkeypatch.setattr(export, "difference", lambda *_: float("nan"))
    monkeypatch.setattr(export, "create_bundle", lambda *_, **__: Bundle.load(bundle_path))
    place = tmp_path / "bundle"
    bundle_path = _some_bundle(few_corners, tmp_path)
    with pytest.raises(SetupRefused) as refused:
        export.export(trained[0], place, atlas=few_corners, store=store, name="mine")
    assert refused.value.code is Code.EXPORT_DIFFERS
    assert not place.exists()


def _some_bundle(atlas, folder):

    config = EncoderConfig(rep_dim=8, moco_dim=8, num_experts=1)
    return create_untrained(folder / "some", atlas, seed=0, config=config).path


def test_a_run_that_never_began_has_nothing_to_export(store, few_corners, tmp_path):
    with pytest.raises(SetupRefused) as refused:
        export.export(tmp_path, tmp_path / "bundle", atlas=few_corners, store=store, name="mine")
    assert refused.value.code is Code.RESUME_IMPOSSIBLE


def test_a_checkpoint_beside_the_recipe_of_another_run_is_refused(
    trained, recipe, store, few_corners, tmp_path
):
    run = tmp_path / "run"
    run.mkdir()
    (run / checkpoint.CHECKPOINT).write_bytes((trained[0] / checkpoint.CHECKPOINT).read_bytes())
    (run / "recipe.json").write_text(changed(recipe, optimisation={"seed": 9}).model_dump_json())
    with pytest.raises(SetupRefused, match="another recipe"):
        export.export(run, tmp_path / "bundle", atlas=few_corners, store=store, name="mine")
