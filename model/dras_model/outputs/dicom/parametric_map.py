"""One value a patch as a DICOM Parametric Map (PS3.3 A.75): local low attenuation, or a component of the embedding.

Patches are cubes around the atlas' lattice as it lies in the patient, sheared and scaled by the alignment,
which no image grid of DICOM can be. So they are shown on a regular grid of STEP_MM along the source's own
rows, columns and normal: a voxel takes the value of the patch whose centre is nearest, if it lies within that
patch's cube. The voxel of a patch's centre always holds that patch's own value, so that every value can be
read back (decision 0027). Where no patch is, a finite padding value stands, told as Float Pixel Padding
Value: a NaN blinds the windowing of viewers.
"""

from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as Concept
from pydicom.uid import ExplicitVRLittleEndian
from scipy.spatial import cKDTree

from dras_model.imaging.atlas import ORIENTATION, PATCH_SIZE
from dras_model.imaging.source_series import SourceSeries
from dras_model.imaging.volume import Grid
from dras_model.outputs.dicom.codes import HOUNSFIELD, LUNG, ONE, PERCENT, private
from dras_model.outputs.dicom.objects import Identity, name_dimensions, refer_to, save, source_dataset
from dras_model.outputs.features import Features
from dras_model.outputs.stored import DEFAULT_FEATURE, StoredResult
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

MAP = "dras_map.dcm"
KIND = "map"
STEP_MM = 8.0  # a patch's cube has 32 mm; centres lie some 20 to 30 mm apart
# The voxel of a centre has its own middle within half its diagonal, 0.87 steps, of it; another centre must be
# farther.
LEAST_STEPS = 1.8
LEAST_STEP_MM = 2.0
COMPONENT = "component-"
_UNITS = {
    "laa950": PERCENT,
    "laa910": PERCENT,
    "perc15_hu": HOUNSFIELD,
    "mean_hu": HOUNSFIELD,
    "lung_fraction": ONE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """What is mapped: its name, its concept and unit, and a value (n,) a patch, NaN where there is none."""

    name: str
    concept: Concept
    unit: Concept
    values: NDArray[np.float32]


def feature_of(features: Features, name: str) -> Feature:
    """Return a feature of the patches that are valid. Raises StudyRefused FEATURE_UNKNOWN."""
    width = features.embeddings.shape[1]
    if name.startswith(COMPONENT) and (number := name.removeprefix(COMPONENT)).isdecimal():
        if int(number) >= width:
            raise StudyRefused(Code.FEATURE_UNKNOWN, name=name, known=_known(features))
        values = features.embeddings[:, int(number)]
        concept, unit = private("component"), ONE
    elif name in _UNITS and name in features.columns():
        values = features.columns()[name].astype(np.float32)
        concept, unit = private(name), _UNITS[name]
    else:
        raise StudyRefused(Code.FEATURE_UNKNOWN, name=name[:32], known=_known(features))
    return Feature(name, concept, unit, np.where(features.valid, values, np.float32(np.nan)))


def _known(features: Features) -> str:
    names = [name for name in _UNITS if name in features.columns()]
    return ", ".join([*names, f"{COMPONENT}0 to {COMPONENT}{features.embeddings.shape[1] - 1}"])


def write_parametric_map(
    path: Path, stored: StoredResult, source: SourceSeries, *, feature: str = DEFAULT_FEATURE
) -> None:
    """Write a feature of the patches in the patient's frame of reference. Raises StudyRefused FEATURE_UNKNOWN."""
    found = feature_of(stored.features, feature)
    cubes = Cubes.of(stored.features, stored.grid)
    grid = cubes.map_grid()
    values, padding = padded(cubes.paint(found.values, grid))
    dataset = _modules(Identity(source, stored.result), found, (values, padding), grid)
    save(dataset, source, path)


@dataclass(frozen=True, slots=True, eq=False)
class Cubes:
    """The patches' cubes in the patient: `centres` (n, 3) LPS mm, and half a side.

    `axes` (3, 3) are unit vectors in rows for z, y and x: those of the scan's native grid, along which every
    cube was cut.
    """

    centres: NDArray[np.float64]
    axes: NDArray[np.float64]
    half_mm: float

    @classmethod
    def of(cls, features: Features, native: Grid) -> "Cubes":
        """Return the cubes of the patches; `corner_mm` is the first voxel of each, its axes growing to LAS."""
        size = PATCH_SIZE if features.lattice is None else features.lattice.patch_size
        axes = native.affine[:3, :3].T / np.array(native.spacing_mm)[:, None]
        signs = [1.0 if letter in ORIENTATION else -1.0 for letter in reversed(native.orientation)]
        return cls(features.corner_mm + (size - 1) / 2.0 * (np.array(signs) @ axes), axes, size / 2.0)

    def map_grid(self) -> Grid:
        """Return the grid that holds every cube: STEP_MM, or less where centres lie closer than usual."""
        along = self.centres @ self.axes.T
        nearest_mm = STEP_MM * LEAST_STEPS
        if len(along) > 1:
            distances = np.asarray(cKDTree(along).query(along, k=2)[0])
            nearest_mm = float(distances[:, 1].min())
        step_mm = float(np.clip(nearest_mm / LEAST_STEPS, LEAST_STEP_MM, STEP_MM))
        first, last = along.min(axis=0) - self.half_mm, along.max(axis=0) + self.half_mm
        z, y, x = (int(n) + 1 for n in np.ceil((last - first) / step_mm))
        affine = np.eye(4)
        affine[:3, :3] = self.axes.T * step_mm
        affine[:3, 3] = first @ self.axes
        return Grid((z, y, x), affine)

    def paint(self, values: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
        """Return the value (z, y, x) of the nearest cube that has one, NaN outside it."""
        painted = np.full(grid.shape, np.nan, dtype=np.float32)
        some = np.isfinite(values)
        if not some.any():
            return painted
        along = self.centres[some] @ self.axes.T
        index = np.indices(grid.shape).reshape(3, -1).T
        voxels = grid.to_world(index) @ self.axes.T
        nearest = np.asarray(cKDTree(along).query(voxels, distance_upper_bound=2.0 * self.half_mm)[1])
        found = nearest < len(along)
        within = np.abs(voxels[found] - along[nearest[found]]).max(axis=1) <= self.half_mm
        found[found] = within
        painted[tuple(index[found].T)] = values[some][nearest[found]]
        return painted


def padded(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Put a whole number below every value, and below 0, for NaN; return it, too."""
    finite = values[np.isfinite(values)]
    padding = float(np.floor(min(0.0, float(finite.min(initial=0.0))))) - 1.0
    return np.where(np.isfinite(values), values, np.float32(padding)), padding


def _modules(
    identity: Identity, feature: Feature, painted: tuple[NDArray[np.float32], float], grid: Grid
) -> hd.pm.ParametricMap:
    values, padding = painted
    step_mm = grid.spacing_mm[0]
    _, along_y, along_x = grid.affine[:3, :3].T / step_mm
    first = grid.to_world(np.array([(z, 0, 0) for z in range(grid.shape[0])]))
    kind = f"{KIND} {feature.name}"
    told = values[values != np.float32(padding)].astype(np.float64)
    low, high = (float(told.min()), float(told.max())) if told.size else (0.0, 0.0)
    dataset = hd.pm.ParametricMap(
        source_images=[source_dataset(identity.source)],
        pixel_array=values,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label=feature.name[:16],
                lut_explanation=feature.concept.meaning,
                unit=feature.unit,
                value_range=(padding, high),  # readers refuse an image with values outside
                slope=1.0,
                intercept=0.0,
                quantity_definition=feature.concept,
            )
        ],
        voi_lut_transformations=[
            hd.VOILUTTransformation(window_center=(low + high) / 2.0, window_width=max(high - low, 1.0))
        ],
        pixel_measures=hd.PixelMeasuresSequence((step_mm, step_mm), step_mm, step_mm),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", [*along_x, *along_y]),
        plane_positions=[hd.PlanePositionSequence("PATIENT", position) for position in first],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="PATCHES",
        content_description=f"{feature.name}. Research use, not for diagnosis",
        series_description=f"dras: {feature.name} of patches",
        **identity.arguments(kind, KIND),
    )
    dataset.ContentCreatorName = ""  # type 2 (PS3.3 table 10-12), and highdicom leaves it out
    dataset.FloatPixelPaddingValue = dataset.FloatPixelPaddingRangeLimit = padding
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy()]
    name_dimensions(dataset, identity.part_uid(kind, "dimensions"))
    refer_to(dataset, identity.source)
    _order_frames(dataset)
    return dataset


def _order_frames(dataset: Dataset) -> None:
    """Put the frames in the order of their positions along the normal (row x column); highdicom has the reverse.

    dcmqi, by which 3D Slicer reads maps, orders the positions and takes the frames as they come: it shows a map in
    the other order upside down.
    """
    shared, groups = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    along = [
        np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float) @ normal
        for group in groups
    ]
    order = np.argsort(along)
    frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(len(groups), -1)
    dataset.FloatPixelData = frames[order].tobytes()
    dataset.PerFrameFunctionalGroupsSequence = [groups[n] for n in order]
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        group.FrameContentSequence[0].DimensionIndexValues = number


def _anatomy() -> Dataset:
    """Say that both lungs are shown (PS3.3 C.7.6.16.2.8)."""
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = [hd.sr.CodedConcept.from_code(LUNG)]
    anatomy.FrameLaterality = "B"
    return anatomy
