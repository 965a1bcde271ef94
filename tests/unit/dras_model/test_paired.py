"""`dras pair` on a person who breathes out in a known way; few and coarse levels; the benchmark has the finest."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from jsonschema import Draft202012Validator

from dras_model.imaging import deformable
from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Emphysema, PhantomSpec
from dras_model.imaging.phantom.breath import BreathPair, make_breath_pair
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Grid
from dras_model.paired import PairChoices, pair
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.pair import PairResult, ResponseClass
from dras_model.results.study import Region, Stage
from dras_model.scores.paired import LEAST_DICE
from dras_model.scores.regions import LOBE_LABELS

SCHEMA = Path(__file__).parents[3] / "docs" / "schema" / "pair-1.0.json"
COARSE = ((4, 60), (2, 40))
PRM = ("PRM-normal", "PRM-fSAD", "PRM-emphysema", "PRM-emptying")
INSPIRATION = SeriesOptions(seed=1, manufacturer="SIEMENS", kernel="B31f", slice_thickness_mm=1.0)
EXPIRATION = replace(INSPIRATION, seed=2, description="CHEST EXP")


@dataclass(frozen=True)
class Studies:
    made: BreathPair
    inspiration: Path
    expiration: Path
    lobes: Path  # of the expiration


@pytest.fixture(scope="module", autouse=True)
def coarse_levels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deformable, "LEVELS", COARSE)
        yield


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    folder = tmp_path_factory.mktemp("pair")
    spec = PhantomSpec(seed=7, n_slices=80, matrix=128, noise_hu=0.0, emphysema=Emphysema("panlobular", 0.15))
    made = make_breath_pair(spec, trapped=0.2)
    write_series(made.inspiration.volume, folder / "insp", INSPIRATION)
    write_series(made.expiration, folder / "exp", EXPIRATION)
    lobes = folder / "lobes.nii.gz"
    write_nifti(lobes, _lobes(made.lungs.labels), made.lungs.grid)
    return Studies(made, folder / "insp", folder / "exp", lobes)


def _lobes(lungs: np.ndarray) -> np.ndarray:
    """Five lobes by height, as in a mask of LTRCLobes labels; which they are does not matter here."""
    height = np.arange(len(lungs))[:, None, None] / len(lungs)
    left = np.where(height > 0.5, 1, 2)
    right = np.select([height > 0.6, height > 0.4], [3, 4], 5)
    return np.select([lungs == LEFT, lungs == RIGHT], [left, right]).astype(np.uint8)


@pytest.fixture(scope="module")
def told() -> list[tuple[Stage, float]]:
    return []


@pytest.fixture(scope="module")
def folder(
    studies: Studies, told: list[tuple[Stage, float]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("paired") / "out"
    choices = PairChoices(expiration_lobes=studies.lobes)
    pair(
        studies.inspiration,
        studies.expiration,
        out,
        choices=choices,
        report=lambda *news: told.append(news),
    )
    return out


@pytest.fixture(scope="module")
def result(folder: Path) -> PairResult:
    return PairResult.model_validate_json((folder / "pair.json").read_bytes())


def test_all_outputs_are_there_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"pair.json", "pair.csv", "prm_map.nii.gz", "prm.png"}


def test_the_result_obeys_the_published_schema_which_is_that_of_the_code(folder: Path) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator(schema).validate(json.loads((folder / "pair.json").read_text()))
    assert schema == PairResult.model_json_schema(mode="serialization")


def test_planted_classes_are_found(result: PairResult, studies: Studies) -> None:
    lung = studies.made.lungs.labels > 0
    inhaled, exhaled = studies.made.inhaled_hu[lung], studies.made.exhaled_hu[lung]
    used = (inhaled <= -500) & (exhaled <= -500)
    low, trapped = inhaled[used] < -950, exhaled[used] < -856
    true = (~low & ~trapped, ~low & trapped, low & trapped, low & ~trapped)
    for code, found in zip(PRM, true, strict=True):
        assert result.score(code).value == pytest.approx(100 * np.mean(found), abs=2.5), code


def test_ratios_are_those_of_the_phantom(result: PairResult, studies: Studies) -> None:
    made = studies.made
    inhaled, lung = made.inspiration.truth.measure(), made.lungs.labels > 0
    exhaled_ml = np.count_nonzero(lung) * made.lungs.grid.voxel_ml
    assert result.score("E/I-volume").value == pytest.approx(exhaled_ml / inhaled.volume_ml, abs=0.01)
    assert result.score("E/I-MLD").value == pytest.approx(
        made.exhaled_hu[lung].mean() / inhaled.mean_hu, abs=0.01
    )
    expected_hu = made.exhaled_hu[lung].mean() - inhaled.mean_hu
    assert result.score("E-I-MLD").value == pytest.approx(expected_hu, abs=6.0)


def test_gas_trapping_is_that_of_the_expiration(result: PairResult, studies: Studies) -> None:
    lung = studies.made.lungs.labels > 0
    score = result.score("LAA-856exp")
    assert score.phase == "expiration"
    assert score.value == pytest.approx(100 * np.mean(studies.made.expiration.hu[lung] <= -856), abs=0.5)


def test_every_share_of_the_map_is_given_in_every_region(result: PairResult) -> None:
    for region in (Region.WHOLE, Region.LEFT, Region.BASAL, Region.RIGHT_APICAL, Region.PEEL):
        assert sum(result.score(code, region).value for code in PRM) == pytest.approx(100.0)


def test_the_map_lies_on_the_expiration_and_gives_the_scores(
    folder: Path, result: PairResult, studies: Studies
) -> None:
    image = nib.load(folder / "prm_map.nii.gz")
    classes = np.asarray(image.dataobj)
    counts = np.bincount(classes.ravel(), minlength=len(ResponseClass))
    emphysema = 100 * counts[ResponseClass.EMPHYSEMA] / counts[1 : ResponseClass.UNCLASSIFIED].sum()
    assert result.score("PRM-emphysema").value == pytest.approx(emphysema)
    index = np.argwhere(classes > 0)
    ras = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    lungs = studies.made.lungs
    at = np.rint(lungs.grid.to_index(ras * [-1, -1, 1])).astype(int)
    assert np.mean(lungs.labels[tuple(at.T)] > 0) > 0.97


def test_a_lobe_has_the_share_of_the_map_that_lies_in_it(
    folder: Path, result: PairResult, studies: Studies
) -> None:
    image = nib.load(folder / "prm_map.nii.gz")
    index = np.argwhere(np.asarray(image.dataobj) > 0)
    classes = np.asarray(image.dataobj)[tuple(index.T)]
    ras = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    at = np.rint(studies.made.lungs.grid.to_index(ras * [-1, -1, 1])).astype(int)
    lobe = _lobes(studies.made.lungs.labels)[tuple(at.T)]
    for label, region in LOBE_LABELS.items():
        counts = np.bincount(classes[lobe == label], minlength=len(ResponseClass))
        share = 100.0 * counts[ResponseClass.SMALL_AIRWAYS] / counts[1 : ResponseClass.UNCLASSIFIED].sum()
        assert result.score("PRM-fSAD", region).value == pytest.approx(share, abs=0.5)
        assert result.score("LAA-856exp", region).value is not None
    assert result.provenance.parameters["expiration_lobes_sha256"]


def test_lobes_of_another_scan_are_refused(studies: Studies, tmp_path: Path) -> None:
    volume = studies.made.expiration
    write_nifti(tmp_path / "lobes.nii.gz", _lobes(studies.made.lungs.labels)[:-1], Grid(
        (volume.grid.shape[0] - 1, *volume.grid.shape[1:]), volume.grid.affine
    ))  # fmt: skip
    choices = PairChoices(expiration_lobes=tmp_path / "lobes.nii.gz")
    with pytest.raises(StudyRefused) as refused:
        pair(studies.inspiration, studies.expiration, tmp_path / "out", choices=choices)
    assert refused.value.code is Code.MASK_GEOMETRY


def test_a_clean_pair_has_no_warning_of_its_own(result: PairResult) -> None:
    assert result.warnings == ()
    assert result.deformation.folded_percent == 0.0
    assert min(result.deformation.dice_right, result.deformation.dice_left) > LEAST_DICE


def test_it_is_no_news_that_an_expiration_is_not_at_full_inspiration(result: PairResult) -> None:
    codes = {warning.code for warning in result.expiration.warnings}
    assert not codes & {Code.NOT_INSPIRATION, Code.ATYPICAL}


def test_both_scans_are_in_the_provenance(result: PairResult) -> None:
    digests = {result.inspiration.input_sha256, result.expiration.input_sha256}
    assert len(digests) == 2
    assert result.provenance.parameters["registration_step_mm"] == deformable.STEP_MM


def test_the_table_holds_the_numbers_of_the_result(folder: Path, result: PairResult) -> None:
    with (folder / "pair.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["Value"] for row in rows] == ["" if s.value is None else repr(s.value) for s in result.scores]


def test_the_picture_is_a_picture(folder: Path) -> None:
    content = (folder / "prm.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 100_000


def test_every_stage_is_timed_and_told(result: PairResult, told: list[tuple[Stage, float]]) -> None:
    stages = [Stage.READ, Stage.LUNGS, Stage.REGISTRATION, Stage.SCORES, Stage.OUTPUTS]
    assert list(dict.fromkeys(stage for stage, _ in told)) == stages
    assert list(result.timings) == [*(stage.value for stage in stages), "total", "peak_rss_mb"]


def test_two_runs_differ_in_their_timings_only(studies: Studies, folder: Path, tmp_path: Path) -> None:
    choices = PairChoices(expiration_lobes=studies.lobes)
    pair(studies.inspiration, studies.expiration, tmp_path / "again", choices=choices)
    for name in ("pair.csv", "prm_map.nii.gz", "prm.png"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name
    one, other = (json.loads((path / "pair.json").read_text()) for path in (folder, tmp_path / "again"))
    del one["timings"], other["timings"]
    assert one == other


def test_swapped_scans_are_refused(studies: Studies, tmp_path: Path) -> None:
    with pytest.raises(StudyRefused) as refused:
        pair(studies.expiration, studies.inspiration, tmp_path / "out")
    assert refused.value.code is Code.PHASES_SWAPPED
    assert not (tmp_path / "out").exists()


def test_the_same_scan_twice_is_refused(studies: Studies, tmp_path: Path) -> None:
    with pytest.raises(StudyRefused) as refused:
        pair(studies.inspiration, studies.inspiration, tmp_path / "out")
    assert refused.value.code is Code.SAME_STUDY


def test_another_kernel_of_the_expiration_is_told_and_attached(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deformable, "LEVELS", ((4, 20),))
    write_series(studies.made.expiration, tmp_path / "exp", replace(EXPIRATION, kernel="B70f"))
    result = pair(studies.inspiration, tmp_path / "exp", tmp_path / "out")
    assert Code.KERNEL_DIFFERS in {warning.code for warning in result.warnings}
    assert Code.KERNEL_DIFFERS in result.score("PRM-fSAD").warnings
    assert Code.KERNEL_DIFFERS not in result.score("E/I-volume").warnings


def test_an_inspiration_left_where_it_was_gives_no_map_but_all_else(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deformable, "LEVELS", ((4, 1),))
    monkeypatch.setattr(deformable, "_boxes_onto_each_other", lambda fixed, moving: sitk.Transform())
    result = pair(studies.inspiration, studies.expiration, tmp_path / "out")
    assert result.status == "partial"
    assert Code.DEFORMATION_SUSPECT in {warning.code for warning in result.warnings}
    assert all(result.score(code).value is None and result.score(code).reason for code in PRM)
    assert result.score("E/I-volume").value is not None
    classes = np.asarray(nib.load(tmp_path / "out" / "prm_map.nii.gz").dataobj)
    assert set(np.unique(classes)) == {0, 5}


def test_a_segmenter_that_is_not_there_is_a_fault_of_the_setup(studies: Studies, tmp_path: Path) -> None:
    choices = PairChoices(segmenter="no.such:thing")
    with pytest.raises(SetupRefused):
        pair(studies.inspiration, studies.expiration, tmp_path / "out", choices=choices)
