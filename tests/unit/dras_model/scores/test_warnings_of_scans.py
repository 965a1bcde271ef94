"""Every warning that bears on a score, through a whole scan: files of a phantom with the fault, and a clean twin.

`FAULTS` says which scan shows which warnings; `ELSEWHERE` names the whole-scan test of those that reading raises. A
warning that a score is sensitive to, or that the documentation's table lists for a scan, is in one of them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dras_model.choices import Choices
from dras_model.imaging.atlas import LEFT, Atlas
from dras_model.imaging.lungs import segment_lungs
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Grid, Volume
from dras_model.preparing import Prepared, prepare
from dras_model.results.codes import Code
from dras_model.results.study import Region
from dras_model.scores.comparability import acquisition_differences
from dras_model.scores.definitions import DEFINITIONS

from .conftest import codes_of

ROOT = Path(__file__).parents[4]
FINE = PhantomSpec(seed=11, n_slices=240, matrix=308, noise_hu=8.0)  # 1.25 mm
COARSE = PhantomSpec(
    seed=7, n_slices=80, matrix=128, noise_hu=8.0
)  # 3 x 3 x 3.75 mm, the `phantom` without disease
CLEAN = {"manufacturer": "SIEMENS", "kernel": "B31f"}
Scan = Callable[[Volume, Path], Choices | None]  # writes the coarse phantom with a fault


def _written(volume: Volume, folder: Path, **change: object) -> None:
    write_series(volume, folder, SeriesOptions(**(CLEAN | change)))  # type: ignore[arg-type]


def _header(**change: object) -> Scan:
    return lambda volume, folder: _written(volume, folder, **change)


def _another(**change: object) -> Scan:
    return lambda _, folder: _written(make_phantom(replace(COARSE, **change)).volume, folder)


def _dose(dataset: Dataset, _: int) -> None:
    dataset.Exposure, dataset.ReconstructionAlgorithm = "20", "ITERATIVE"


def _shifted_and_silent(volume: Volume, folder: Path) -> None:
    _written(Volume(volume.hu + np.float32(45.0), volume.grid), folder, kernel=None)


def _cut_and_named(volume: Volume, folder: Path) -> None:
    grid = Grid((50, *volume.grid.shape[1:]), volume.grid.affine)
    _written(Volume(volume.hu[:50], grid), folder, description="CHEST EXSP")


def _nifti(volume: Volume, folder: Path) -> None:
    folder.mkdir()
    write_nifti(folder / "scan.nii.gz", volume.hu, volume.grid)


def _masked(volume: Volume, folder: Path) -> Choices:
    _written(volume, folder)
    return Choices(segmenter=f"{__name__}:half_a_mask")


def half_a_mask(volume: Volume) -> np.ndarray:
    """Our lungs without most of the left one."""
    labels = segment_lungs(volume, None).map.labels.copy()
    left = labels == LEFT
    left[: len(labels) // 3] = False
    labels[left] = 0
    return labels


FAULTS: dict[str, tuple[Scan, set[Code]]] = {
    "coarse": (_header(), {Code.THICK_SLICE, Code.OUT_OF_DOMAIN, Code.HARMONISATION_LIMITED}),
    "header": (
        _header(kernel="B70f", kvp=100.0, contrast_agent="IOHEXOL", patient_position="HFP", model_name="B",
                edit=_dose),
        {Code.SHARP_KERNEL, Code.KVP_NOT_120, Code.CONTRAST_ENHANCED, Code.NOT_SUPINE, Code.LOW_DOSE,
         Code.ITERATIVE_RECON},
    ),
    "noisy": (_another(noise_hu=60.0), {Code.HIGH_NOISE, Code.HU_FLOOR}),
    "shifted, kernel not stated": (_shifted_and_silent, {Code.AIR_CALIBRATION, Code.UNKNOWN_KERNEL}),
    "exhaled": (_another(inflation=0.55), {Code.NOT_INSPIRATION}),
    "cut, named an expiration": (
        _cut_and_named, {Code.INCOMPLETE_LUNG, Code.PARTIAL_COVERAGE, Code.NOT_INSPIRATION}
    ),
    "no header": (_nifti, {Code.ACQUISITION_UNKNOWN}),
    "half a mask": (_masked, {Code.SEGMENTATION_SUSPECT, Code.REGISTRATION_SUSPECT}),
}  # fmt: skip
CASES = [(name, code) for name, (_, codes) in FAULTS.items() for code in sorted(codes)]
# What reading the files raises, or two scans together do, in tests that also have the clean twin.
ELSEWHERE: dict[Code, str] = {
    Code.INTERPOLATED_SLICES: "tests/catalogue/test_series.py",
    Code.TILT: "tests/catalogue/test_series.py",
    Code.DERIVED_IMAGE: "tests/catalogue/test_series.py",
    Code.RESCALE_ASSUMED: "tests/catalogue/test_series.py",
    Code.LOSSY: "tests/catalogue/test_files.py",
    Code.ORIENTATION_SUSPECT: "tests/catalogue/test_content.py",
    Code.AVERAGED_VOXELS: "tests/unit/dras_model/imaging/test_averaging.py",
    Code.ATYPICAL: "tests/catalogue/test_content.py",
    Code.MIXED_SCANNER: "tests/unit/dras_model/scores/test_warnings_of_scans.py",
}
# The table of the design; what it says of two scans is MIXED_SCANNER.
LISTED = {
    Code.SHARP_KERNEL, Code.UNKNOWN_KERNEL, Code.CONTRAST_ENHANCED, Code.THICK_SLICE, Code.NOT_INSPIRATION,
    Code.INCOMPLETE_LUNG, Code.HIGH_NOISE, Code.LOW_DOSE, Code.ITERATIVE_RECON, Code.HU_FLOOR, Code.AIR_CALIBRATION,
    Code.KVP_NOT_120, Code.NOT_SUPINE, Code.MIXED_SCANNER, Code.SEGMENTATION_SUSPECT, Code.REGISTRATION_SUSPECT,
    Code.OUT_OF_DOMAIN,
}  # fmt: skip


def _codes(prepared: Prepared) -> set[Code]:
    return codes_of(prepared.warnings)


@pytest.fixture(scope="module")
def clean(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("fine")
    _written(make_phantom(FINE).volume, folder)
    return prepare(folder, atlas=atlas)


@pytest.fixture(scope="module")
def found(
    phantom: Phantom, atlas: Atlas, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Prepared]:
    held: dict[str, Prepared] = {}

    def of(name: str) -> Prepared:
        if name not in held:
            folder = tmp_path_factory.mktemp("scan") / "files"
            choices = FAULTS[name][0](phantom.volume, folder)
            held[name] = prepare(folder, atlas=atlas, choices=choices)
        return held[name]

    return of


def test_a_clean_scan_raises_nothing(clean: Prepared) -> None:
    assert _codes(clean) == set()


@pytest.mark.parametrize(("name", "code"), CASES)
def test_a_whole_scan_with_the_fault_raises_its_warning_and_its_twin_does_not(
    name: str, code: Code, found: Callable[[str], Prepared], clean: Prepared
) -> None:
    assert code in _codes(found(name))
    assert code not in _codes(clean)
    if name != "coarse":  # the same phantom on the same grid, without the fault
        assert code not in _codes(found("coarse"))


@pytest.mark.parametrize(("name", "code"), CASES)
def test_a_warning_stands_beside_the_scores_that_it_bears_on(
    name: str, code: Code, found: Callable[[str], Prepared]
) -> None:
    sensitive = {d.code for d in DEFINITIONS if code in d.sensitive_to and d.given_in(Region.WHOLE)}
    warned = {score.code for score in found(name).scores if code in score.warnings}
    assert sensitive or code in {Code.PARTIAL_COVERAGE, Code.REGISTRATION_SUSPECT}  # they bear on the patches
    assert warned == sensitive


def test_scans_of_two_scanners_differ_in_that_and_scans_of_one_do_not(
    found: Callable[[str], Prepared],
) -> None:
    one, other, same = (found(name).header.acquisition for name in ("coarse", "header", "exhaled"))
    assert Code.MIXED_SCANNER in codes_of(acquisition_differences(one, other, thickness_mm=(3.75, 3.75)))
    assert Code.MIXED_SCANNER not in codes_of(acquisition_differences(one, same, thickness_mm=(3.75, 3.75)))


def test_every_warning_of_a_score_is_raised_by_some_scan() -> None:
    shown = {code for _, code in CASES} | ELSEWHERE.keys()
    assert {code for d in DEFINITIONS for code in d.sensitive_to} | LISTED <= shown


@pytest.mark.parametrize(("code", "where"), ELSEWHERE.items())
def test_a_warning_shown_elsewhere_is_named_there(code: Code, where: str) -> None:
    assert f"Code.{code}" in (ROOT / where).read_text("utf-8")
