import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.recipe import load_recipe, parse_recipe, parse_recipe_json, shipped

LEAST = """
schema_version = 1
name = "mine"
licence = "MIT"
[data]
description = "mine"
[normalisation]
group = 4
[optimisation]
epochs = 2
batch = 8
"""


@pytest.mark.parametrize("name", ["drasclr_copdgene", "phantom_starter", "smoke"])
def test_the_recipes_of_the_product_are_valid_and_bear_their_names(name):
    assert load_recipe(name).name == name
    assert name in shipped()


def test_the_published_recipe_says_what_was_published():
    recipe = load_recipe("drasclr_copdgene")
    told = recipe.model_dump()
    assert told["contrast"] == {
        "temperature": 0.2,
        "key_momentum": 0.999,
        "queue": 4096,
        "neighbours": 2,
        "beta": 1.0,
        "first_keys": "random",
        "batch_keys": False,
        "conditioned": True,
        "mask_own": False,
        "other_scan": 0.0,
    }
    views = told["augmentation"]
    assert (views["translation_voxels"], views["rotation_degrees"], views["scale"]) == (12.0, 10.0, 0.1)
    assert (views["noise_hu"], views["noise_probability"], views["gamma_probability"]) == (50.0, 0.25, 0.25)
    assert (views["flip_probability"], views["elastic_voxels"]) == (0.0, 0.0)
    assert (views["sharpness_probability"], views["density"], views["offset_hu"]) == (0.0, 0.0, 0.0)
    assert views["noise_lowest_hu"] is None
    chosen = recipe.optimisation
    assert (chosen.epochs, chosen.batch, chosen.learning_rate) == (20, 128, 0.01)
    assert (chosen.optimiser, chosen.momentum, chosen.weight_decay) == ("sgd", 0.9, 1e-4)
    assert chosen.warm_up_steps == 0
    assert (recipe.encoder.rep_dim, recipe.encoder.moco_dim, recipe.encoder.num_experts) == (128, 128, 8)
    assert (recipe.normalisation.kind, recipe.normalisation.group) == ("batch", 128 // 4)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (LEAST.replace("epochs = 2", "epochs = 0"), "optimisation.epochs"),
        (LEAST.replace("epochs = 2", 'epochs = "2"'), "optimisation.epochs"),
        (LEAST.replace("epochs = 2", "epochs = 2\nepoch = 3"), "optimisation.epoch"),
        (LEAST.replace("batch = 8", "batch = 6"), "no multiple"),
        (LEAST.replace('name = "mine"', 'name = "../mine"'), "name"),
        (LEAST + "learning_rate = nan", "optimisation.learning_rate"),
        (LEAST + "[augmentation]\ngamma_low = 2.0\ngamma_high = 1.0", "gamma_low"),
        (LEAST.replace("[data]", "[data"), "no TOML"),
        ("", "Field required"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence_that_names_the_key(wrong, named):
    with pytest.raises(SetupRefused) as refused:
        parse_recipe(wrong, name="mine.toml")
    assert refused.value.code is Code.RECIPE_INVALID
    assert named in str(refused.value)


def test_a_recipe_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(SetupRefused, match="phantom_starter"):
        load_recipe(tmp_path / "none.toml")


def test_a_file_of_that_name_comes_before_the_product_s_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").write_text(LEAST, "utf-8")
    assert load_recipe("smoke").name == "mine"


def test_the_identity_covers_defaults_and_leaves_out_how_it_is_run():
    recipe = parse_recipe(LEAST, name="mine")
    written_out = parse_recipe(LEAST + "learning_rate = 0.01\n[run]\nworkers = 7", name="mine")
    other = parse_recipe(LEAST + "learning_rate = 0.02", name="mine")
    assert recipe.sha256 == written_out.sha256 != other.sha256


def test_a_recipe_comes_back_from_a_run_folder_as_it_was():
    recipe = load_recipe("phantom_starter")
    assert parse_recipe_json(recipe.model_dump_json(), name="x") == recipe
    with pytest.raises(SetupRefused, match="cannot be used"):
        parse_recipe_json("{", name="x")
