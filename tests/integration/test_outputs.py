"""A whole run, opened by the tools that people use, and repeated from what it says of itself."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import zarr

from dras_model.exporting import export
from dras_model.outputs.exports import DEFAULTS, EXPORTS
from dras_model.repeating import differences, repeat
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.phenotypes import COLUMNS
from dras_model.results.study import StudyResult


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every form that needs no images, of a copy of the result that can no more be written to."""
    out = tmp_path_factory.mktemp("exported") / "out"
    export(folder, out, forms=[name for name, form in EXPORTS.items() if not form.needs_source])
    return out


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return StudyResult.model_validate_json((folder / "result.json").read_bytes())


def test_an_export_is_what_the_run_wrote_byte_for_byte(folder: Path, exported: Path) -> None:
    for name in (*DEFAULTS, "masks"):
        for file in EXPORTS[name].files:
            if not file.startswith("report"):  # that one shows the timings
                assert (exported / file).read_bytes() == (folder / file).read_bytes(), file


def test_every_reader_finds_the_numbers_of_the_result(exported: Path, result: StudyResult) -> None:
    given = {(s.region.value, s.image, COLUMNS[s.code]): s.value for s in result.scores}
    typed = pd.read_parquet(exported / "regions.parquet").to_dict("records")
    with (exported / "regions.csv").open(encoding="utf-8") as file:
        text = list(csv.DictReader(file))
    for row, cells in zip(typed, text, strict=True):
        for column in COLUMNS.values():
            value = given.get((row["Region"], row["Image"], column))
            assert cells[column] == ("" if value is None else repr(value))
            assert np.isnan(row[column]) if value is None else row[column] == value


def test_every_reader_finds_the_arrays_of_the_run(folder: Path, exported: Path) -> None:
    group = zarr.open_group(exported / "features.zarr", mode="r")
    table = pd.read_parquet(exported / "patches.parquet")
    with np.load(folder / "features.npz", allow_pickle=False) as arrays:
        for name in group.array_keys():
            np.testing.assert_array_equal(group[name][...], arrays[name])
            if arrays[name].ndim == 1:
                np.testing.assert_array_equal(table[name], arrays[name])
        np.testing.assert_array_equal(np.stack(table["embedding"]), arrays["embeddings"])


def test_low_attenuation_counted_in_the_maps_is_that_of_the_result(
    exported: Path, result: StudyResult
) -> None:
    low = sitk.GetArrayFromImage(sitk.ReadImage(exported / "laa_map.nii.gz"))
    lungs = sitk.GetArrayFromImage(sitk.ReadImage(exported / "lungs.nii.gz"))
    for region, inside in (("whole", np.isin(lungs, (1, 2))), ("right", lungs == 1), ("left", lungs == 2)):
        percent = 100.0 * np.count_nonzero(low[inside] == 2) / np.count_nonzero(inside)
        assert percent == pytest.approx(result.score("LAA-950insp", region).value, abs=1e-9)
        assert np.count_nonzero(inside) == result.score("LAA-950insp", region).n_voxels
    assert np.all((low > 0) == np.isin(lungs, (1, 2)))


def test_the_maps_lie_on_the_voxels_of_the_series(
    exported: Path, result: StudyResult, phantom_study: Path
) -> None:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(phantom_study))
    series = sitk.ReadImage(names)
    mask, image = sitk.ReadImage(exported / "lungs.nii.gz"), nib.load(exported / "lungs.nii.gz")
    assert mask.GetSize() == series.GetSize() == result.geometry.size_xyz
    for corner in ((0, 0, 0), (127, 0, 79), (0, 127, 40)):
        place = series.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose(mask.TransformIndexToPhysicalPoint(corner), place, atol=1e-3)
        np.testing.assert_allclose((image.affine @ [*corner, 1])[:3] * [-1, -1, 1], place, atol=1e-3)


@pytest.fixture(scope="module")
def again(
    folder: Path, phantom_study: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, StudyResult, tuple[str, ...]]:
    """Of the former run only `result.json` is there, and the library, in which weights and atlas have digests."""
    place = tmp_path_factory.mktemp("repeated")
    (place / "kept").mkdir()
    shutil.copy(folder / "result.json", place / "kept")
    return place / "again", *repeat(place / "kept", phantom_study, place / "again")


def test_a_run_is_repeated_from_its_provenance_alone_to_the_same_bytes(
    folder: Path, again: tuple[Path, StudyResult, tuple[str, ...]]
) -> None:
    out, _, differs = again
    assert differs == ()
    files = {path.name for path in folder.iterdir() if path.suffix != ".dcm"}  # those are asked for anew
    assert files == {path.name for path in out.iterdir()}
    for name in files:
        one, other = ((place / name).read_bytes() for place in (folder, out))
        if name == "result.json":
            one, other = (json.dumps(json.loads(text) | {"timings": {}}) for text in (one, other))
        if not name.startswith("report"):  # that one shows the timings
            assert one == other, name


def test_a_run_with_weights_that_are_nowhere_is_not_repeated_with_others(
    folder: Path, phantom_study: Path, tmp_path: Path
) -> None:
    document = json.loads((folder / "result.json").read_text())
    document["provenance"]["weights"]["encoder_sha256"] = "f" * 64
    (tmp_path / "result.json").write_text(json.dumps(document))
    with pytest.raises(SetupRefused, match="no bundle of the library") as refused:
        repeat(tmp_path, phantom_study, tmp_path / "again")
    assert refused.value.code is Code.REPEAT_IMPOSSIBLE
    assert not (tmp_path / "again").exists()


def test_what_differs_in_a_repetition_is_named(
    folder: Path, again: tuple[Path, StudyResult, tuple[str, ...]]
) -> None:
    document = json.loads((folder / "result.json").read_text())
    document["provenance"]["libraries"]["numpy"] = "0.1"
    document["scores"][0]["value"] = 99.0
    former = StudyResult.model_validate_json(json.dumps(document))
    assert differences(former, again[1]) == ("scores", "provenance.libraries")
