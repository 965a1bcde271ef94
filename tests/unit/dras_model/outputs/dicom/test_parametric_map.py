from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dras_model.outputs.dicom.parametric_map import Cubes, feature_of, padded, write_parametric_map
from dras_model.outputs.features import Features
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.phenotypes import PATCH_COLUMNS
from dras_model.results.study import StudyResult
from unit.dras_model.outputs.dicom.scenes import Scene, centres_of, patches_in, scene, turned, upright

POSES = ["feet first", "oblique", "tilted back"]
SCENES: dict[str, Scene] = {}


@pytest.fixture(params=POSES)
def posed(request, tmp_path_factory, result: StudyResult) -> Scene:
    if request.param not in SCENES:
        folder = tmp_path_factory.mktemp("scene") / "series"
        SCENES[request.param] = scene(request.param, folder, result)
    return SCENES[request.param]


def _written(made: Scene, feature: str) -> Dataset:
    path = made.folder.parent / f"{feature}.dcm"
    write_parametric_map(path, made.stored, made.source, feature=feature)
    return pydicom.dcmread(path)


def _values(dataset: Dataset) -> np.ndarray:
    shape = (int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    return np.frombuffer(dataset.FloatPixelData, "<f4").reshape(shape)


def _affine(dataset: Dataset) -> np.ndarray:
    """(frame, row, column) to LPS mm, by the positions of the first frames (PS3.3 C.7.6.2.1.1)."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    first, second = (
        np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for group in dataset.PerFrameFunctionalGroupsSequence[:2]
    )
    affine = np.eye(4)
    affine[:3] = np.stack([second - first, cosines[3:] * rows_mm, cosines[:3] * columns_mm, first], axis=1)
    return affine


def _index(dataset: Dataset, world: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(_affine(dataset))
    return np.rint(world @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)


@pytest.mark.parametrize("feature", ["laa950", "component-3"])
def test_the_voxel_of_each_centre_holds_the_value_of_its_patch_bit_by_bit(feature: str, posed: Scene) -> None:
    dataset = _written(posed, feature)
    features = posed.stored.features
    column = features.densitometry["laa950"] if feature == "laa950" else features.embeddings[:, 3]
    centres = centres_of(features, posed.study.header.grid)
    z, y, x = _index(dataset, centres[features.valid]).T
    np.testing.assert_array_equal(_values(dataset)[z, y, x], column[features.valid])


def test_every_voxel_is_that_of_the_nearest_cube_or_padding_by_a_slow_search(posed: Scene) -> None:
    dataset = _written(posed, "laa950")
    features, grid = posed.stored.features, posed.study.header.grid
    centres = centres_of(features, grid)[features.valid]
    values = features.densitometry["laa950"][features.valid]
    axes = grid.affine[:3, :3] / np.array(grid.spacing_mm)
    found = _values(dataset)
    affine = _affine(dataset)
    rng = np.random.default_rng(5)
    for place in rng.integers(0, found.shape, (400, 3)):
        away = centres - (affine[:3, :3] @ place + affine[:3, 3])
        distances = np.linalg.norm(away, axis=1)
        order = np.argsort(distances)
        if (
            distances[order[1]] - distances[order[0]] < 1e-6
            or abs(np.abs(away[order[0]] @ axes).max() - 16) < 1e-6
        ):
            continue
        within = np.abs(away[order[0]] @ axes).max() < 16.0
        expected = values[order[0]] if within else np.float32(dataset.FloatPixelPaddingValue)
        assert found[tuple(place)] == expected


def test_highdicom_reads_the_same_values_and_the_same_geometry(posed: Scene) -> None:
    dataset = _written(posed, "laa950")
    read = hd.pm.ParametricMap.from_dataset(dataset)
    volume = read.get_volume()  # the last frame first, which is highdicom's own order
    reverse = np.diag([-1.0, 1.0, 1.0, 1.0])
    reverse[0, 3] = len(volume.array) - 1
    np.testing.assert_allclose(volume.affine @ reverse, _affine(dataset), atol=1e-5)
    np.testing.assert_array_equal(volume.array[::-1], _values(dataset))


def test_frames_follow_each_other_along_the_normal_or_slicer_shows_them_upside_down(posed: Scene) -> None:
    """dcmqi orders the positions of a map and leaves its frames as they come."""
    dataset = _written(posed, "laa950")
    cosines = np.array(
        dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient,
        dtype=float,
    )
    groups = dataset.PerFrameFunctionalGroupsSequence
    places = np.array([g.PlanePositionSequence[0].ImagePositionPatient for g in groups], dtype=float)
    assert np.all(np.diff(places @ np.cross(cosines[:3], cosines[3:])) > 0)
    numbers = [group.FrameContentSequence[0].DimensionIndexValues for group in groups]
    assert numbers == list(range(1, len(groups) + 1))


def test_there_is_no_nan_and_padding_lies_below_every_value_and_within_the_mapping(posed: Scene) -> None:
    for feature in ("laa950", "component-0"):
        dataset = _written(posed, feature)
        values = _values(dataset)
        assert np.isfinite(values).all()
        padding = dataset.FloatPixelPaddingValue
        told = values[values != padding]
        assert padding < told.min()
        mapping = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        assert mapping.DoubleFloatRealWorldValueFirstValueMapped == padding
        assert mapping.DoubleFloatRealWorldValueLastValueMapped == told.max()
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)


def test_quantity_and_unit_are_coded(posed: Scene) -> None:
    for feature, unit in (("laa950", "%"), ("mean_hu", "[hnsf'U]"), ("component-1", "1")):
        mapping = _written(posed, feature).SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == unit
        quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
        assert quantity.CodingSchemeDesignator == "99DRAS"
        assert quantity.CodeValue == feature.split("-")[0]


def test_each_feature_is_an_instance_of_its_own_and_written_twice_the_same_bytes(
    posed: Scene, tmp_path: Path
) -> None:
    uids = {
        _written(posed, feature).SOPInstanceUID
        for feature in ("laa950", "laa910", "component-0", "component-1")
    }
    assert len(uids) == 4
    write_parametric_map(tmp_path / "again.dcm", posed.stored, posed.source)
    assert (tmp_path / "again.dcm").read_bytes() == (posed.folder.parent / "laa950.dcm").read_bytes()


def test_patches_that_are_not_valid_or_have_no_value_are_left_out() -> None:
    features = patches_in(upright())
    features.densitometry["laa950"][np.flatnonzero(features.valid)[:3]] = np.nan
    values = feature_of(features, "laa950").values
    assert np.isfinite(values).sum() == features.valid.sum() - 3
    assert not np.isfinite(values[~features.valid]).any()


@pytest.mark.parametrize(
    "name", ["component-6", "component--1", "component-x", "component-", "laa9", "", "corners"]
)
def test_an_unknown_feature_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(StudyRefused, match="component-0 to component-5") as refused:
        feature_of(patches_in(upright()), name)
    assert refused.value.code is Code.FEATURE_UNKNOWN


def test_every_column_of_the_patches_that_is_a_value_can_be_mapped() -> None:
    features = patches_in(upright())
    for name in PATCH_COLUMNS:
        if name != "n_lung_voxels":
            assert feature_of(features, name).concept.value == name


def test_cubes_run_along_the_axes_that_they_were_cut_along() -> None:
    for native in (upright(), turned((14.0, -9.0, 21.0))):
        features = patches_in(native)
        cubes = Cubes.of(features, native)
        np.testing.assert_allclose(cubes.centres, centres_of(features, native), atol=1e-9)


def test_centres_that_lie_close_get_a_finer_grid() -> None:
    wide = Cubes(np.array([[0.0, 0, 0], [20.0, 0, 0]]), np.eye(3), 16.0)
    close = Cubes(np.array([[0.0, 0, 0], [9.0, 0, 0]]), np.eye(3), 16.0)
    assert wide.map_grid().spacing_mm == pytest.approx((8.0, 8.0, 8.0))
    assert close.map_grid().spacing_mm == pytest.approx((5.0, 5.0, 5.0))
    painted = close.paint(np.array([1.0, 2.0], dtype=np.float32), close.map_grid())
    for centre, value in zip(close.centres, (1.0, 2.0), strict=True):
        assert painted[tuple(np.rint(close.map_grid().to_index(centre)).astype(int))] == value


def test_a_result_of_one_patch_or_of_none_that_is_valid_is_written(posed: Scene, tmp_path: Path) -> None:
    one = Cubes(np.array([[5.0, 6.0, 7.0]]), np.eye(3), 16.0)
    assert np.nanmax(one.paint(np.ones(1, dtype=np.float32), one.map_grid())) == 1.0
    values, padding = padded(one.paint(np.full(1, np.nan, dtype=np.float32), one.map_grid()))
    assert (values == padding).all()


def test_padding_of_negative_values_is_a_whole_number_below_them() -> None:
    values, padding = padded(np.array([[[-912.4, np.nan, -800.0]]], dtype=np.float32))
    assert padding == -914.0
    np.testing.assert_array_equal(values, np.array([[[-912.4, -914.0, -800.0]]], dtype=np.float32))


def test_features_of_schema_1_0_which_lack_the_lattice_have_cubes_of_32_mm() -> None:
    native = upright()
    features = patches_in(native)
    old = Features(**{**{name: getattr(features, name) for name in features.__slots__}, "lattice": None})
    assert Cubes.of(old, native).half_mm == 16.0
