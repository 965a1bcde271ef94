"""A whole evaluation of stand-ins for encoders, and the document and the card that are made of it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.manifest import AtlasIdentity, Trained
from dras_model.encoder.starter import Rounding, Starter
from dras_training.evaluation.document import page, write_document
from dras_training.evaluation.material import REGIONS, Kept, Sample
from dras_training.evaluation.proof import Plan, _against, evaluate
from dras_training.evaluation.questions import labels_of_few
from dras_training.evaluation.systems import Remembering, System
from dras_training.people import invent
from dras_training.recipe import Phantoms
from dras_training.starter import card
from dras_training.store import CaseRecord, PatchStore, pack_bits

N_PEOPLE, N_LOCATIONS = 48, 12
COHORT = Phantoms(count=N_PEOPLE, seed=300, n_slices=40, matrix=64)
TRAINED = Trained(
    data="9 phantoms", epochs=1, seed=0, recipe="smoke", recipe_sha256="a" * 64, steps=9, subjects=9
)


class Moments:
    """In the place of an encoder: mean and deviation of a patch, and noise of its own."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def encode(self, patches, locations):
        noise = self.rng.normal(size=len(patches))
        return np.stack([patches.mean((1, 2, 3)), patches.std((1, 2, 3)), noise], axis=1).astype(np.float32)


def stand_in(bundle, *, name, kind, threads, kept):
    """In the place of opening a bundle."""
    return System(name, kind, Moments(bundle), f"moments and noise of seed {bundle}")


def regions_by_place(_kept, person):
    """In the place of counting in a phantom: the regions that the disease was put into."""
    disease = person.spec.emphysema
    held = [disease.place.value in {"whole", *region.value.split("_")} for region in REGIONS]
    return 100.0 * disease.fraction * np.array(held, dtype=float)


@pytest.fixture(scope="module")
def small_atlas(atlas):
    chosen = np.linspace(0, len(atlas.corners) - 1, N_LOCATIONS).astype(int)
    return replace(atlas, corners=atlas.corners[chosen], sha256="d" * 64)


@pytest.fixture(scope="module")
def figures(small_atlas, tmp_path_factory):
    """Patches of whom is sick are lower, the sicker the lower; the kind does not show. One is scanned twice."""
    folder, rng = tmp_path_factory.mktemp("proof"), np.random.default_rng(3)
    store = PatchStore.create(folder / "store", small_atlas, slots=N_PEOPLE + 1)
    people = list(invent(COHORT))
    for slot, person in enumerate([*people, people[0]]):
        hu = rng.normal(-860.0, 30.0, (N_LOCATIONS, 32, 32, 32))
        hu[rng.random(hu.shape) < person.spec.emphysema.fraction] = -990.0
        store.write(slot, hu.astype(np.int16))
        valid = pack_bits(np.ones(N_LOCATIONS, dtype=np.bool_))
        store.record(
            CaseRecord(
                subject=person.name if slot < N_PEOPLE else "again",
                person=person.name,
                status="stored",
                slot=slot,
                input_sha256=f"{slot:064}",
                valid=valid,
            )
        )

    plan = Plan(
        bundles={"main": 1, "other": 2},
        untrained=3,
        atlas=small_atlas,
        store=store,
        cohort=COHORT,
        kept=folder / "kept",
        n_people=N_PEOPLE + 1,
        n_pairs=0,
        n_maps=0,
        step=1,
        threads=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kept, "regions", regions_by_place)
        patch.setattr(System, "of", stand_in)
        patch.setattr("dras_training.downstream.judging.N_DRAWN", 25)
        patch.setattr("dras_training.downstream.fitting.STRENGTHS", (1.0, 10.0))
        return evaluate(plan)


def test_density_tells_how_much_and_not_which_kind(figures):
    found = {asked["key"]: asked["figures"]["LAA-950"] for asked in figures["questions"]}
    assert found["severity"]["value"] > 0.9
    assert found["severity"]["low"] <= found["severity"]["value"] <= found["severity"]["high"]
    assert found["subtype"]["value"] < 0.75


def test_people_are_judged_by_their_first_scans(figures):
    assert figures["material"]["people"] == N_PEOPLE


def test_an_ablation_is_held_against_what_was_trained_as_long():
    main, control = (
        System("main", "judged", None, "", steps=48),
        System("short", "control", None, "", steps=24),
    )
    ablations = [
        System(name, "ablation", None, "", steps) for name, steps in (("a", 48), ("b", 24), ("c", None))
    ]
    density = System("LAA-950", "baseline", None, "")
    assert _against([main, control, *ablations, density]) == {
        "short": "main",
        "a": "main",
        "b": "short",
        "c": "short",
        "LAA-950": "main",
    }
    assert set(_against([main, *ablations, density]).values()) == {"main"}


def test_each_system_is_held_against_what_is_judged(figures):
    asked = next(asked for asked in figures["questions"] if asked["key"] == "severity")
    value = {name: each["value"] for name, each in asked["figures"].items()}
    assert set(value) == {"main", "other", "untrained", "LAA-950"}
    for other, apart in asked["differences"].items():
        assert apart["of"] == "main"
        assert apart["value"] == pytest.approx(value["main"] - value[other])


def test_a_figure_that_misses_its_bound_does_not_read_as_the_bound(figures):
    missed = {"asked": "as much as 0.95", "found": {"value": 0.947, "low": 0.9, "high": 1.0}, "holds": False}
    text = page({**figures, "claims": [missed]}, {"questions": "q.png"})
    assert "| as much as 0.95 | 0.947 (0.900 to 1.000) | **no** |" in text


def test_a_claim_holds_by_its_figures_alone(figures):
    for claim in figures["claims"]:
        baseline = "at least" in claim["asked"]
        reached = claim["found"]["value"] >= 0.10 if baseline else claim["found"]["low"] > 0
        assert claim["holds"] is reached
    assert len(figures["claims"]) == 3


def test_few_labels_are_those_of_some_people_and_hold_both_answers():
    present = (np.random.default_rng(4).random((50, 6)) < 0.3).astype(float)
    for percent, n in ((10, 5), (25, 12)):
        labels = labels_of_few(present, percent, seed=0)
        known = np.isfinite(labels).all(axis=1)
        assert known.sum() == n
        assert np.isnan(labels[~known]).all()
        np.testing.assert_array_equal(labels[known], present[known])
    rare = np.zeros((50, 6))
    rare[31, 2] = 1.0
    assert set(np.unique(labels_of_few(rare, 1, seed=0)[31])) == {0.0, 1.0}


def test_more_labels_tell_more_of_what_shows(figures):
    found = {asked["key"]: asked["figures"]["LAA-950"]["value"] for asked in figures["questions"]}
    assert found["labels_25"] > found["labels_1"]
    assert found["detection"] > found["labels_1"]


def test_the_document_shows_every_figure_and_says_what_does_not_hold(figures, tmp_path):
    broken = {**figures, "claims": [{**figures["claims"][0], "holds": False}]}
    paths = write_document(broken, tmp_path / "evaluation.md", remarks="Nobody knows why.")
    text = paths[0].read_text("utf-8")
    assert json.loads(paths[1].read_text("utf-8")) == broken
    for picture in re.findall(r"\]\((images/\S+)\)", text):
        with Image.open(tmp_path / picture) as opened:
            assert opened.size[0] > 500
    assert "**no**" in text
    assert "Nobody knows why." in text
    for asked in figures["questions"]:
        few = asked["key"].startswith("labels_")
        assert (f"| {asked['key'].removeprefix('labels_')} % |" if few else asked["title"]) in text
    assert page(figures, {"questions": "x.png"}).count("| main |") >= len(figures["plain"])


def test_the_card_says_what_does_not_hold_and_what_leaks(figures):
    told = Starter(
        name="phantom-starter",
        encoder=EncoderConfig(num_experts=1),
        atlas=AtlasIdentity(name="small", version="1", sha256="d" * 64, n_patches=N_LOCATIONS),
        training=TRAINED,
        licence="MIT",
        rounding=Rounding(max_difference=0.01, min_cosine=0.99999),
        weights_sha256="e" * 64,
    )
    text = card(told, {**figures, "claims": [{**figures["claims"][0], "holds": False}]})
    assert "has never seen a patient" in text
    assert f"Asked and not reached: {figures['claims'][0]['asked']}" in text
    leak = next(asked for asked in figures["questions"] if asked["key"] == "kernel")["figures"]["main"][
        "value"
    ]
    assert f"AUC of {leak:.2f}" in text


def test_what_was_cut_is_kept_for_the_locations_it_was_cut_at(tmp_path):
    calls = []

    def make():
        calls.append(1)
        unknown = np.full(6, np.nan)
        return Sample(np.zeros((2, 4, 4, 4), np.int16), np.ones(2, bool), unknown[:2], unknown)

    for at in ([0, 1], [0, 1], [0, 2]):
        Kept(tmp_path, np.array(at)).sample("some", 5, make=make)
    assert len(calls) == 2


def test_what_was_encoded_is_not_encoded_again(tmp_path):
    patches, locations = np.zeros((2, 32, 32, 32), np.int16), np.zeros((2, 3), np.float32)
    encoder = Remembering(Moments(1), tmp_path)
    first = encoder.encode(patches, locations)  # noise of its own: it would differ the next time
    np.testing.assert_array_equal(encoder.encode(patches, locations), first)
    assert not np.array_equal(encoder.encode(patches + np.int16(1), locations), first)
    assert not np.array_equal(encoder.encode(patches, locations + np.float32(1)), first)
