"""From a table of outcomes to an estimate in the result of a study, as a user goes: probe, survival, extract."""

import csv
import json

import numpy as np
import pytest

from dras_cli.main import main
from dras_model.results.study import StudyResult
from dras_training.downstream.people import People
from dras_training.people import invent
from dras_training.recipe import Phantoms

N_PEOPLE = 48


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("downstream")


@pytest.fixture(scope="module")
def cohort(place, encoder, atlas):
    """Embeddings of invented people, which move along one direction with severity; what is true in a table."""
    people = list(invent(Phantoms(count=N_PEOPLE, seed=3)))
    rng = np.random.default_rng(4)
    embeddings = rng.normal(size=(N_PEOPLE, len(atlas.corners), encoder.rep_dim)).astype(np.float32)
    severity = np.array([person.row["severity"] for person in people], dtype=np.float32) / 10.0
    embeddings += severity[:, np.newaxis, np.newaxis] * rng.normal(size=encoder.rep_dim).astype(np.float32)
    graph = encoder.bundle.provenance_of(encoder.form.file).encoder_sha256
    names = tuple(person.name for person in people)
    valid = np.ones(embeddings.shape[:2], dtype=np.bool_)
    People(names, embeddings, valid, atlas.corners, graph).write(place / "people.npz")
    assert (
        main(
            [
                "train",
                "phantoms",
                "phantom_starter",
                str(place / "truth.csv"),
                "--count",
                "48",
                "--first",
                "3",
            ]
        )
        == 0
    )
    return place


@pytest.fixture(scope="module")
def with_heads(cohort, encoder):
    """A bundle with the head of a number and, added to it, that of a hazard."""
    common = [str(cohort / "people.npz"), "--table", str(cohort / "truth.csv"), "--cohort", "48 phantoms"]
    probed = ["--outcome", "severity", "--unit", "%", "--bundle", str(encoder.bundle.path)]
    assert main(["train", "probe", *common, *probed, "-o", str(cohort / "one")]) == 0
    followed = ["--time", "years", "--event", "died", "--bundle", str(cohort / "one")]
    assert (
        main(["train", "survival", *common, *followed, "-o", str(cohort / "two"), "--pooling", "regions"])
        == 0
    )
    return cohort / "two"


@pytest.fixture(scope="module")
def out(with_heads, phantom_study, place):
    assert (
        main(
            ["extract", str(phantom_study), "--bundle", str(with_heads), "-o", str(place / "out"), "--dicom"]
        )
        == 0
    )
    return place / "out"


def test_what_the_heads_estimate_is_in_the_result_and_is_their_own_formula(with_heads, out):
    result = StudyResult.model_validate_json((out / "result.json").read_bytes())
    estimates = {score.code: score for score in result.scores if score.kind == "model_estimate"}
    assert sorted(estimates) == ["ESTIMATE-died", "ESTIMATE-severity"]
    features = np.load(out / "features.npz")
    valid, embeddings = features["valid"], features["embeddings"].astype(np.float64)
    for name in ("severity", "died"):
        head = json.loads((with_heads / f"head.{name}.json").read_bytes())
        groups = np.array(head["groups"])
        value = head["intercept"] + sum(
            float(np.dot(weights, embeddings[valid & (groups == g)].mean(axis=0) - centre))
            for g, (weights, centre) in enumerate(zip(head["weights"], head["centre"], strict=True))
        )
        score = estimates[f"ESTIMATE-{name}"]
        assert score.value == pytest.approx(value, rel=1e-5, abs=1e-5)
        assert "48 phantoms" in score.definition
        assert score.details["cohort_n"] == N_PEOPLE
        assert score.details["calibration_slope"] == head["calibration"]["slope"]
        assert score.n_voxels == result.score("LAA-950insp").n_voxels
    assert estimates["ESTIMATE-severity"].unit == "%"


def test_the_bundle_says_what_it_holds_and_is_checked_like_any_other(with_heads):
    manifest = json.loads((with_heads / "manifest.json").read_bytes())
    assert manifest["schema_version"] == "1.2"
    assert manifest["heads"] == ["head.severity.json", "head.died.json"]
    assert main(["model", "verify", str(with_heads)]) == 0


def test_the_probe_tells_its_figures_and_of_how_many(cohort, capsys):
    asked = ["--table", str(cohort / "truth.csv"), "--outcome", "severity", "--pooling", "regions", "--json"]
    assert main(["train", "probe", str(cohort / "people.npz"), *asked]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["target"], row["pooling"], row["measure"]) for row in rows] == [
        ("severity", "regions", "R²")
    ]
    assert rows[0]["low"] > 0.9
    with (cohort / "truth.csv").open() as file:
        assert rows[0]["n"] == len(list(csv.DictReader(file))) == N_PEOPLE


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--outcome", "height"], 4, "TABLE_INVALID"),
        (["--outcome", "severity", "--out", "x"], 2, "together"),
        (
            ["--outcome", "severity", "--pooling", "all", "--bundle", "b", "--out", "x", "--cohort", "c"],
            2,
            "name it",
        ),
        (["--outcome", "severity", "--bundle", "b", "--out", "x", "--cohort", ""], 2, "--cohort takes"),
        (
            ["--outcome", "severity", "--bundle", "b", "--out", "x", "--cohort", "c" * 201],
            2,
            "--cohort takes",
        ),
        (["--outcome", "severity", "--unit", "u" * 33], 2, "--unit takes"),
    ],
)
def test_what_cannot_be_probed_is_one_sentence_and_a_status(cohort, capsys, arguments, status, said):
    asked = [str(cohort / "people.npz"), "--table", str(cohort / "truth.csv"), *arguments]
    assert main(["train", "probe", *asked]) == status
    assert said in capsys.readouterr().err


def test_a_head_of_other_embeddings_is_not_put_into_a_bundle(cohort, encoder, capsys):
    arrays = dict(np.load(cohort / "people.npz"))
    np.savez(cohort / "others.npz", **(arrays | {"encoder": np.array("0" * 64)}))
    asked = ["--table", str(cohort / "truth.csv"), "--outcome", "severity", "--cohort", "x"]
    where = ["--bundle", str(encoder.bundle.path), "-o", str(cohort / "wrong")]
    assert main(["train", "probe", str(cohort / "others.npz"), *asked, *where]) == 4
    assert "HEAD_MISFIT" in capsys.readouterr().err
    assert not (cohort / "wrong").exists()
