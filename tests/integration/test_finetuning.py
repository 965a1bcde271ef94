"""The encoder trained on as a user goes: a curve by the command, gone on with; label maps of phantoms."""

import csv
import json

import numpy as np
import pytest

from dras_cli.main import main
from dras_model.encoder.calibration import textures
from dras_model.imaging.nifti import load_array
from dras_training.store import CaseRecord, PatchStore, pack_bits

N, SEEN = 20, (100, 400)  # people, and the locations at which they have patches


@pytest.fixture(scope="module")
def place(tmp_path_factory, atlas):
    """A store of people who differ in brightness, sparse but at two locations, and their table."""
    folder = tmp_path_factory.mktemp("finetuning")
    store = PatchStore.create(folder / "store", atlas, slots=N)
    n = len(atlas.corners)
    shard = np.lib.format.open_memmap(
        folder / "store" / "shard-00000.npy", mode="w+", dtype="<i2", shape=(n, N, 32, 32, 32)
    )
    drawn = textures(len(SEEN), seed=1) // 20 - 800
    rows = [["subject", "shade", "held_out"]]
    for row in range(N):
        shard[list(SEEN), row] = drawn + 10 * row
        valid = np.isin(np.arange(n), SEEN)
        told = {"subject": f"s{row}", "slot": row, "input_sha256": f"{row:064}", "valid": pack_bits(valid)}
        store.record(CaseRecord(status="stored", **told))
        rows.append([f"s{row}", str(10 * row), str(int(row % 4 == 1))])
    shard.flush()
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def asked(place, encoder, *more):
    store, table = str(place / "store"), str(place / "t.csv")
    question = ["--table", table, "--outcome", "shade", "--held-out", "held_out", "-o", str(place / "curve")]
    course = ["--draws", "1", "--steps", "1", "--locations", "2", "--bundle", str(encoder.bundle.path)]
    return ["train", "finetune", store, *question, *course, *more]


def test_a_curve_is_drawn_and_more_points_are_added_to_it(place, encoder, capsys):
    assert main(asked(place, encoder, "--percents", "100", "--json")) == 0
    points = json.loads(capsys.readouterr().out)
    assert [(p["arm"], p["n_labels"], p["measure"]) for p in points] == [
        (arm, 15, "R²") for arm in ("pretrained", "scratch", "frozen")
    ]
    trials = (place / "curve" / "trials.jsonl").read_text()
    assert main(asked(place, encoder, "--percents", "20,100")) == 0
    assert "3 labels, pretrained: R²" in capsys.readouterr().out
    assert (place / "curve" / "trials.jsonl").read_text().startswith(trials)
    with (place / "curve" / "curve.csv").open() as file:
        assert [int(row["n_labels"]) for row in csv.DictReader(file)] == [3, 3, 3, 15, 15, 15]
    assert main([*asked(place, encoder, "--percents", "100"), "--seed", "1"]) == 4
    assert "another question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--percents", "0,10"], "above 0"),
        (["--keep", "x"], "together"),
        (["--keep", "x", "--cohort", ""], "1 to"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(place, encoder, capsys, more, said):
    assert main(asked(place, encoder, *more)) == 2
    assert said in capsys.readouterr().err


def test_invented_people_are_scanned_with_label_maps_of_what_is_lost(tmp_path, monkeypatch):
    asked = ["train", "phantoms", "smoke", str(tmp_path / "t.csv"), "--count", "1", "--first", "1000"]
    assert main([*asked, "--scans", str(tmp_path / "scans")]) == 0
    with (tmp_path / "t.csv").open() as file:
        (row,) = csv.DictReader(file)
    hu, grid = load_array(tmp_path / row["image"])
    labels, other = load_array(tmp_path / row["labels"])
    assert grid.same_as(other)
    lost, lung = np.count_nonzero(labels == 2), np.count_nonzero(labels)
    assert 100.0 * lost / lung == pytest.approx(float(row["severity"]), abs=0.2)
    assert hu[labels == 2].mean() < hu[labels == 1].mean() - 50
