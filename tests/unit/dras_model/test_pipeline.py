import csv
import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import onnxruntime
import pydicom
import pypdf
import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from pydicom.dataset import Dataset

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Emphysema, Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Grid
from dras_model.inspecting import inspect
from dras_model.outputs.exports import DEFAULTS, EXPORTS
from dras_model.outputs.names import KEY_IMAGES, LOW_ATTENUATION, LUNGS, QC_PICTURE, RESULT
from dras_model.outputs.tables import HEADER
from dras_model.pipeline import describe, extract
from dras_model.preparing import prepare
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import LOBES, Region, Stage, StudyResult
from dras_model.scores.definitions import DEFINITIONS
from dras_model.scores.harmonised import HARMONISED
from dras_model.scores.patches import PATCH_COLUMNS

SCHEMA = Path(__file__).parents[3] / "docs" / "schema" / "result-1.1.json"
CANARIES = {
    "PatientName": "Canaryfamily^Canarygiven",
    "PatientID": "CANARYID4711",
    "PatientBirthDate": "19331123",
    "PatientAddress": "Canary Street 12",
    "AccessionNumber": "CANARYACC815",
    "ReferringPhysicianName": "Canaryphysician",
    "InstitutionName": "Canary Hospital",
    "StudyDescription": "Canary study",
    "SeriesDescription": "Canary series",
    "PatientComments": "Canary comment",
}
OUTPUTS = {
    RESULT, LUNGS, LOW_ATTENUATION, QC_PICTURE, KEY_IMAGES,
    *(file for name in DEFAULTS for file in EXPORTS[name].files),
}  # fmt: skip


@pytest.fixture(scope="module")
def told() -> list[tuple[Stage, float]]:
    return []


@pytest.fixture(scope="module")
def folder(
    phantom_study: Path, atlas: Atlas, encoder: Encoder, told: list[tuple[Stage, float]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    out = tmp_path_factory.mktemp("run") / "out"
    extract(phantom_study, out, atlas=atlas, encoder=encoder, report=lambda *news: told.append(news))
    return out


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return StudyResult.model_validate_json((folder / "result.json").read_bytes())


@pytest.fixture(scope="module")
def arrays(folder: Path) -> Iterator[dict[str, np.ndarray]]:
    with np.load(folder / "features.npz", allow_pickle=False) as stored:
        yield dict(stored)


def test_all_outputs_are_there_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == OUTPUTS
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_the_result_obeys_the_published_schema(folder: Path) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads((folder / "result.json").read_text("utf-8")))


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == StudyResult.model_json_schema(mode="serialization")


def test_the_phantoms_emphysema_is_measured(result: StudyResult, phantom: Phantom) -> None:
    hu = phantom.volume.hu[phantom.truth.lungs.labels > 0]  # the scan as it is, noise included
    assert result.score("LAA-950insp").value == pytest.approx(100.0 * np.mean(hu <= -950), abs=0.2)
    assert result.score("Perc15").value == pytest.approx(np.percentile(hu, 15), abs=2.0)


@pytest.mark.parametrize(
    ("kind", "fraction"),
    [(EmphysemaKind.CENTRILOBULAR, 0.05), (EmphysemaKind.PARASEPTAL, 0.03), (EmphysemaKind.PANLOBULAR, 0.25)],
)
def test_planted_emphysema_without_noise_is_measured_within_a_fifth_of_a_point(
    kind: EmphysemaKind, fraction: float, atlas: Atlas, encoder: Encoder, tmp_path: Path
) -> None:
    spec = PhantomSpec(seed=11, n_slices=120, matrix=192, noise_hu=0.0, emphysema=Emphysema(kind, fraction))
    phantom = make_phantom(spec)
    write_series(phantom.volume, tmp_path / "in")
    result = describe(prepare(tmp_path / "in", atlas=atlas), encoder.bundle)
    for region in (Region.WHOLE, Region.RIGHT, Region.LEFT):
        truth = phantom.truth.measure(region)
        tolerance = 0.2 if region is Region.WHOLE else 0.4
        assert result.score("LAA-950insp", region).value == pytest.approx(truth.laa950_percent, abs=tolerance)
        assert result.score("Perc15", region).value == pytest.approx(truth.perc15_hu, abs=2.0)


def test_every_score_is_given_in_every_region(result: StudyResult) -> None:
    known = [region for region in Region if region not in LOBES]
    for image, definitions in (("raw", DEFINITIONS), ("harmonised", HARMONISED)):
        assert [(score.code, score.region) for score in result.scores if score.image == image] == [
            (definition.code, region)
            for region in known
            for definition in definitions
            if definition.given_in(region)
        ]


def test_weights_that_know_phantoms_only_are_told(result: StudyResult) -> None:
    assert Code.PHANTOM_TRAINED_WEIGHTS in {warning.code for warning in result.warnings}
    assert "phantoms" in result.provenance.weights.training
    assert result.status == "succeeded_with_warnings"


def test_the_table_holds_the_numbers_of_the_result(folder: Path, result: StudyResult) -> None:
    with (folder / "regions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    raw = [row["Region"] for row in rows if row["Image"] == "raw"]
    assert raw == [region.value for region in Region if region not in LOBES]
    given = {(score.image, score.region.value, score.code): score.value for score in result.scores}
    for row in rows:
        for code, column in COLUMNS.items():
            value = given.get((row["Image"], row["Region"], code))
            assert row[column] == ("" if value is None else repr(value))


def test_the_patches_table_holds_the_validity_and_densitometry_of_the_arrays(
    folder: Path, arrays: dict[str, np.ndarray]
) -> None:
    with (folder / "patches.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(arrays["valid"])
    for name in (
        "valid",
        "inside",
        "lung_fraction",
        "n_lung_voxels",
        "laa950",
        "laa910",
        "perc15_hu",
        "mean_hu",
    ):
        found = np.array([float(row[name] or "nan") for row in rows])
        np.testing.assert_allclose(found, arrays[name].astype(float), rtol=1e-6)


def test_the_arrays_have_the_shapes_that_are_promised(arrays: dict[str, np.ndarray], atlas: Atlas) -> None:
    n = len(atlas.corners)
    assert arrays["embeddings"].shape == (n, 128)
    assert arrays["embeddings"].dtype == np.float32
    assert np.isfinite(arrays["embeddings"]).all()
    np.testing.assert_array_equal(arrays["corners"], atlas.corners)
    np.testing.assert_allclose(
        arrays["locations"], atlas.corners / atlas.corners.max(axis=0) * 2 - 1, atol=1e-6
    )
    for name in ("valid", "lung_fraction", *PATCH_COLUMNS):
        assert arrays[name].shape == (n,)


def test_embeddings_differ_between_patches(arrays: dict[str, np.ndarray]) -> None:
    assert np.median(arrays["embeddings"].std(axis=0)) > 0.01


def test_a_voxel_of_the_feature_map_is_the_patch_whose_centre_it_is(
    folder: Path, arrays: dict[str, np.ndarray], atlas: Atlas
) -> None:
    image = nib.load(folder / "feature_map.nii.gz")
    data = np.asarray(image.dataobj)
    assert np.isfinite(data[..., 0]).sum() == arrays["valid"].sum()
    for n in np.nonzero(arrays["valid"])[0][::29]:
        centre_lps = atlas.lungs.grid.to_world(arrays["corners"][n][::-1] + 15.5)
        centre_ras = centre_lps * np.array([-1, -1, 1])
        index = np.linalg.inv(image.affine) @ np.append(centre_ras, 1.0)
        assert np.abs(index[:3] - np.rint(index[:3])).max() < 1e-4
        i, j, k = np.rint(index[:3]).astype(int)
        np.testing.assert_array_equal(data[i, j, k], arrays["embeddings"][n])


def test_the_picture_is_a_picture(folder: Path) -> None:
    content = (folder / "qc.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 100_000


def test_every_stage_is_timed_and_told_in_order(result: StudyResult, told: list[tuple[Stage, float]]) -> None:
    assert list(result.timings) == [*(stage.value for stage in Stage), "total", "peak_rss_mb"]
    assert list(dict.fromkeys(stage for stage, _ in told)) == list(Stage)
    assert all(0.0 <= fraction <= 1.0 for _, fraction in told)


def test_two_runs_differ_in_their_timings_only(
    phantom_study: Path, folder: Path, atlas: Atlas, encoder: Encoder, tmp_path: Path
) -> None:
    extract(phantom_study, tmp_path / "again", atlas=atlas, encoder=encoder)
    for name in OUTPUTS - {"result.json"}:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name
    one, other = (json.loads((path / "result.json").read_text()) for path in (folder, tmp_path / "again"))
    del one["timings"], other["timings"]
    assert one == other


def test_nothing_of_the_patient_is_in_any_output(
    phantom: Phantom, atlas: Atlas, encoder: Encoder, tmp_path: Path
) -> None:
    def name_somebody(dataset: Dataset, index: int) -> None:
        for keyword, value in CANARIES.items():
            setattr(dataset, keyword, value)
        dataset.private_block(0x0029, "CANARY MAKER", create=True).add_new(1, "LO", "Canaryprivate")
        dataset.add_new(0x60003000, "OW", b"Canaryoverlay ")

    paths = write_series(phantom.volume, tmp_path / "in", SeriesOptions(edit=name_somebody))
    stored = pydicom.dcmread(paths[0], stop_before_pixels=True)
    secrets = {part for keyword in CANARIES for part in str(stored[keyword].value).split("^")}
    assert len(secrets) == len(CANARIES) + 1  # the name has two parts
    secrets |= {"CANARY MAKER", "Canaryprivate", "Canaryoverlay"}
    extract(tmp_path / "in", tmp_path / "out", atlas=atlas, encoder=encoder)
    outputs = list((tmp_path / "out").iterdir())
    assert {path.name for path in outputs} == OUTPUTS
    for path in outputs:
        content = _unpacked(path)
        for secret in secrets:
            for encoding in ("utf-8", "utf-16-le"):
                assert secret.lower().encode(encoding) not in content.lower(), (path.name, secret)


def _unpacked(path: Path) -> bytes:
    """What a file says once nothing in it is compressed, its bytes as they are included."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content += gzip.decompress(content)
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            content += b"".join(name.encode() + archive.read(name) for name in archive.namelist())
    elif path.suffix == ".pdf":
        reader = pypdf.PdfReader(path)
        content += repr((reader.metadata, [page.extract_text() for page in reader.pages])).encode()
        content += reader.trailer["/Root"]["/Metadata"].get_data()
    elif path.suffix == ".png":
        with Image.open(path) as image:
            content += repr((image.info, dict(image.getexif()))).encode()
    return content


def test_the_runtime_of_the_encoder_is_named_in_the_provenance(result: StudyResult) -> None:
    assert result.provenance.libraries["onnxruntime"] == onnxruntime.__version__


@pytest.mark.parametrize(
    ("stated_mm", "withheld"), [(10.0, True), (4.0, False)], ids=["ten millimetres", "four"]
)
def test_slices_stated_thicker_than_five_millimetres_withhold_low_attenuation(
    stated_mm: float, withheld: bool, phantom: Phantom, atlas: Atlas, tmp_path: Path
) -> None:
    write_series(phantom.volume, tmp_path / "in", SeriesOptions(slice_thickness_mm=stated_mm))
    prepared = prepare(tmp_path / "in", atlas=atlas)
    raw = [score for score in prepared.scores if score.image == "raw"]
    values = {score.code: score.value for score in raw if score.region is Region.WHOLE}
    assert (values["LAA-950insp"] is None) == withheld
    assert values["volume"] is not None
    assert Code.THICK_SLICE in {warning.code for warning in prepared.warnings}


def test_a_series_stored_coronal_in_thick_slices_is_withheld(
    phantom: Phantom, atlas: Atlas, tmp_path: Path
) -> None:
    coronal = phantom.volume.oriented("LSA")
    thick = np.ascontiguousarray(coronal.hu[1::3])
    affine = coronal.grid.affine.copy()
    affine[:3, 3] += affine[:3, 0]
    affine[:3, 0] *= 3.0  # 9 mm
    write_nifti(tmp_path / "coronal.nii.gz", thick, Grid(thick.shape, affine))
    prepared = prepare(tmp_path / "coronal.nii.gz", atlas=atlas)
    reasons = {score.reason for score in prepared.scores if score.code == "LAA-950insp"}
    assert reasons == {"slices of 9.0 mm average low attenuation away"}
    assert Code.THICK_SLICE in {warning.code for warning in prepared.warnings}


def test_an_inspection_foretells_the_series_and_the_warnings(
    phantom_study: Path, result: StudyResult
) -> None:
    inspection = inspect(phantom_study)
    assert inspection.series_instance_uid == result.series_instance_uid
    assert inspection.geometry == result.geometry
    assert all(warning in result.warnings for warning in inspection.warnings)


def test_a_folder_that_holds_something_is_left_alone(
    phantom_study: Path, atlas: Atlas, encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(SetupRefused, match="not empty"):
        extract(phantom_study, tmp_path, atlas=atlas, encoder=encoder)
    assert {path.name for path in tmp_path.iterdir()} == {"precious"}


def test_weights_of_another_atlas_are_refused(
    phantom_study: Path, atlas: Atlas, encoder: Encoder, tmp_path: Path
) -> None:
    other = Atlas.of(atlas.lungs, atlas.corners[:-1], name="other", version="1")
    with pytest.raises(SetupRefused) as refused:
        extract(phantom_study, tmp_path / "out", atlas=other, encoder=encoder)
    assert refused.value.code is Code.BUNDLE_ATLAS_MISMATCH
