"""The pipeline on real chest CT of public collections, against figures known from elsewhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.atlas_bundle import import_published
from dras_model.imaging.lungs import Lungs
from dras_model.imaging.nifti import load_array
from dras_model.imaging.patches import cut_patches
from dras_model.imaging.registration import Alignment, align
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.pipeline import extract
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import StudyResult

SERIES = {
    "soft": "soft_kernel_philips_5mm",
    "sharp": "sharp_kernel_philips_5mm",
    "feet_first": "sharp_kernel_ge_feet_first_2.5mm",
    "bases_only": "pet_ct_siemens_4mm_bases_only",
    "low_attenuation": "small_volumes/ct-64Dicom",
}


@pytest.fixture(scope="module")
def results(
    shared: Path, atlas: Atlas, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, StudyResult]:
    out = tmp_path_factory.mktemp("real")
    return {
        name: extract(shared / "ct" / folder, out / name, atlas=atlas, encoder=encoder)
        for name, folder in SERIES.items()
    }


def _codes(result: StudyResult) -> set[Code]:
    return {warning.code for warning in result.warnings}


def test_the_soft_kernel_scan_gives_its_known_figures(results: dict[str, StudyResult]) -> None:
    result = results["soft"]
    assert 5000 <= result.score("volume").value <= 5900
    assert result.score("volume", "right").value > result.score("volume", "left").value
    assert 0.1 <= result.score("LAA-950insp").value <= 0.9
    assert -897 <= result.score("Perc15").value <= -880
    assert result.qc.patches.n_valid >= 0.9 * result.qc.patches.n_patches
    assert Code.THICK_SLICE in _codes(result)
    assert Code.SHARP_KERNEL not in _codes(result)


def test_its_sharp_twin_is_warned_and_has_the_same_lungs(results: dict[str, StudyResult]) -> None:
    soft, sharp = results["soft"], results["sharp"]
    assert Code.SHARP_KERNEL in _codes(sharp)
    assert Code.SHARP_KERNEL in sharp.score("LAA-950insp").warnings
    assert sharp.score("LAA-950insp").value > 10.0
    assert sharp.score("volume").value == pytest.approx(soft.score("volume").value, rel=0.01)
    matrices = [np.array(result.qc.registration.matrix) for result in (soft, sharp)]
    np.testing.assert_allclose(matrices[0][:3, :3], matrices[1][:3, :3], atol=0.02)


def test_feet_first_with_padding_and_clipped_bases_is_read_right_and_warned(
    results: dict[str, StudyResult],
) -> None:
    result = results["feet_first"]
    assert result.score("volume", "right").value > result.score("volume", "left").value
    assert {Code.SHARP_KERNEL, Code.THICK_SLICE, Code.INCOMPLETE_LUNG} <= _codes(result)
    # The header's agent is empty; the blood of this scan is near 370 HU.
    assert Code.CONTRAST_ENHANCED in _codes(result)
    assert not any(Code.CONTRAST_ENHANCED in _codes(results[name]) for name in SERIES if name != "feet_first")
    assert 6.0 <= result.score("LAA-950insp").value <= 11.0


def test_bases_of_a_shallow_breath_are_partial_and_never_silent(results: dict[str, StudyResult]) -> None:
    result = results["bases_only"]
    assert result.status == "partial"
    assert {Code.PARTIAL_COVERAGE, Code.NOT_INSPIRATION, Code.INCOMPLETE_LUNG} <= _codes(result)
    assert result.score("MLD").value == pytest.approx(-694, abs=30)
    assert result.score("Perc15", "apical").value is None
    assert "ends within the lungs" in result.score("Perc15", "apical").reason


def test_low_attenuation_lungs_agree_with_their_supplied_mask(results: dict[str, StudyResult]) -> None:
    result = results["low_attenuation"]
    assert result.score("LAA-950insp").value == pytest.approx(19.7, abs=1.5)
    assert result.score("LAA-910insp").value == pytest.approx(55.0, abs=1.5)
    assert result.score("Perc15").value == pytest.approx(-955, abs=3)


@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("traps/coronal_mpr_labelled_axial", {Code.TOO_FEW_SLICES}),
        ("traps/sagittal_mpr_labelled_axial", {Code.TOO_FEW_SLICES}),
        ("traps/two_slices_no_modality", {Code.TOO_FEW_SLICES}),
        ("traps/no_lungs_nifti/aorta_ct_cropped.nii.gz", {Code.OUT_OF_SCOPE}),
        ("traps/no_lungs_nifti/pulm_ct_cropped.nii.gz", {Code.OUT_OF_SCOPE}),
        ("traps/no_lungs_nifti/example_ct.nii.gz", {Code.OUT_OF_SCOPE}),
        ("traps/no_lungs_nifti/example_ct_sm.nii.gz", {Code.OUT_OF_SCOPE}),
        ("tricky_files/pydicom_CT_small.dcm", {Code.TOO_FEW_SLICES}),
        ("tricky_files/pydicom-data_bad_sequence.dcm", {Code.TOO_FEW_SLICES}),
        ("tricky_files/pydicom-data_eCT_Supplemental.dcm", {Code.TOO_FEW_SLICES}),
        ("tricky_files/pydicom_charset_files", {Code.NO_CT_SERIES}),
        ("tricky_files", {Code.TOO_FEW_SLICES, Code.NO_CT_SERIES, Code.MIXED_PATIENT}),
        (".", {Code.MIXED_PATIENT}),
    ],
)
def test_a_trap_is_refused_with_its_code_and_leaves_nothing(
    path: str, codes: set[Code], shared: Path, atlas: Atlas, encoder: Encoder, tmp_path: Path
) -> None:
    with pytest.raises(StudyRefused) as refused:
        extract(shared / "ct" / path, tmp_path / "out", atlas=atlas, encoder=encoder)
    assert refused.value.code in codes
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def published(shared: Path) -> Atlas:
    folder = shared / "atlas"
    return import_published(
        folder / "atlas_lung_mask.nii.gz", folder / "atlas_patch_loc.npy", name="copdgene"
    )


def _authors_alignment(shared: Path) -> np.ndarray:
    with np.load(shared / "golden" / "patches.npz") as golden:
        linear, centre = golden["affine_matrix"], golden["affine_center"]
        matrix = np.eye(4)
        matrix[:3, :3] = linear
        matrix[:3, 3] = golden["affine_translation"] + centre - linear @ centre
    return matrix


def test_patches_are_the_authors_patches_given_their_affine(
    shared: Path, real_lungs: Callable[[str], tuple[Volume, Lungs]], published: Atlas
) -> None:
    volume, lungs = real_lungs(SERIES["soft"])
    alignment = align(published, lungs.map)
    patches = cut_patches(volume, lungs, published, Alignment(_authors_alignment(shared), alignment.quality))
    with np.load(shared / "golden" / "patches.npz") as golden:
        corners = golden["subject_voxel_index_padded"] - 60  # (x, y, z) in the 1 mm volume
        index, expected = golden["index"], golden["patches_hu"]
    steps = volume.grid.affine[:3, :3] / np.array(volume.grid.spacing_mm)
    ours = (patches.corner_mm - volume.grid.affine[:3, 3]) @ steps
    np.testing.assert_allclose(ours[:, ::-1], corners, atol=1e-6)
    within_one = np.abs(patches.hu[index] - np.clip(expected, -1024, 240)) <= 1.0
    assert within_one.mean() >= 0.999


def test_our_alignment_is_as_good_as_ants_and_close_to_it(shared: Path, published: Atlas) -> None:
    array, grid = load_array(shared / "golden" / "lungs_right50_left100.nii.gz")
    labels = np.select([array == 50, array == 100], [RIGHT, LEFT], 0).astype(np.uint8)
    alignment = align(published, LabelMap(labels, grid))
    assert alignment.quality.dice_right >= 0.9229 - 0.005  # ANTs with the authors' settings, 818 s
    assert alignment.quality.dice_left >= 0.8440 - 0.005
    corners = published.lungs.grid.to_world(published.corners[:, ::-1])
    theirs = _authors_alignment(shared)
    distance_mm = np.linalg.norm(
        alignment.to_subject(corners) - (corners @ theirs[:3, :3].T + theirs[:3, 3]), axis=1
    )
    assert distance_mm.mean() <= 5.0
