"""What the command answers where a score cannot be given: null with the reason, or one sentence and a code."""

import json

import nibabel as nib
import numpy as np
import pytest

from dras_cli.main import main


@pytest.fixture(scope="module")
def exhaled(study, library, tmp_path_factory):
    """The whole-lung scores of a scan that the caller says is an expiration, without a reference volume."""
    out = tmp_path_factory.mktemp("exhaled") / "out"
    assert main(["extract", str(study), "-o", str(out), "--phase", "expiration", "--no-harmonise"]) == 0
    return json.loads((out / "result.json").read_text())


def _whole(result, code):
    return next(s for s in result["scores"] if (s["code"], s["region"]) == (code, "whole"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("LAA-950insp", "it is defined at full inspiration, and the scan is at expiration"),
        ("Perc15-adjusted", "reference volume"),
    ],
)
def test_a_score_that_cannot_be_given_is_null_with_the_reason(exhaled, code, reason):
    score = _whole(exhaled, code)
    assert score["value"] is None
    assert reason in score["reason"]


def test_gas_trapping_is_given_of_what_is_said_to_be_an_expiration(exhaled):
    assert _whole(exhaled, "LAA-856exp")["value"] is not None


def test_it_is_said_once_that_an_expiration_is_no_inspiration(exhaled):
    assert [w["code"] for w in exhaled["warnings"]].count("NOT_INSPIRATION") == 1


@pytest.mark.parametrize("option", ["--lobes", "--lung-mask"])
def test_a_mask_of_another_geometry_is_refused_in_one_sentence(study, library, tmp_path, capsys, option):
    mask = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((16, 16, 16), np.uint8), np.eye(4)), mask)
    assert main(["extract", str(study), "-o", str(tmp_path / "out"), option, str(mask)]) == 3
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert shown.startswith("dras: MASK_GEOMETRY: ")
    assert not (tmp_path / "out").exists()
