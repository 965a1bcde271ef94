"""Weights of one's own as a user makes them: prepare, pretrain, export, extract; each a command of its own."""

import json

import pytest

from dras_cli.main import main


@pytest.fixture
def told(capsys, monkeypatch, place):
    """Call the command in the cohort's folder; return what it answers in JSON."""
    monkeypatch.chdir(place)

    def call(*arguments):
        status = main([*map(str, arguments), "--json"])
        answer = capsys.readouterr()
        assert status == 0, answer.err
        return json.loads(answer.out)

    return call


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pretraining")


def test_the_smoke_recipe_goes_from_phantoms_to_the_embeddings_of_a_study(told, place, study):
    prepared = told("train", "prepare", "smoke", "--processes", "1")
    assert (prepared["stored"], prepared["refused"]) == (2, {})
    stopped = told("train", "pretrain", "smoke", "--threads", "1", "--until", "4")
    assert stopped["step"] == 4
    done = told("train", "pretrain", "smoke", "--threads", "1")  # goes on
    assert done["step"] == done["total"] > 4
    assert done["last"]["step"] == done["total"]
    exported = told("train", "export", "smoke-run", "--name", "smoke", "-o", "bundle")
    assert exported["manifest"]["training"]["recipe"] == "smoke"
    result = told("extract", study, "--bundle", "bundle", "-o", "out")
    weights = result["provenance"]["weights"]
    assert weights["name"] == "smoke"
    assert weights["training"].startswith("trained on 2 phantoms")
    codes = {warning["code"] for warning in result["warnings"]}
    assert "PHANTOM_TRAINED_WEIGHTS" in codes
    assert "UNTRAINED_WEIGHTS" not in codes
    assert main(["train", "curves", "smoke-run", "curves.png"]) == 0
    assert (place / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["prepare", "no-such-recipe"], 4, "RECIPE_INVALID"),
        (["prepare", "drasclr_copdgene"], 2, "name the cohort"),
        (["prepare", "smoke", "no-such-cohort"], 4, "COHORT_INVALID"),
        (["pretrain", "smoke", "--store", "no-such-store"], 4, "STORE_INVALID"),
        (["export", "no-such-run"], 4, "RESUME_IMPOSSIBLE"),
        (["curves", "no-such-run", "x.png"], 4, "RESUME_IMPOSSIBLE"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_a_status(
    atlas, tmp_path, monkeypatch, capsys, arguments, status, said
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == status
    assert said in capsys.readouterr().err
