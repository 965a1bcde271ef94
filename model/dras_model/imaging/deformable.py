"""Where each point of an expiration lies in the inspiration of the same person: deformable registration of lungs.

Diffeomorphic demons (Vercauteren et al., NeuroImage 2009; ITK's) on the logarithm of lung density, each scan
against its own median, so that what breathing does to density as a whole is no difference. Outside the lungs
everything is alike: the pleura draws the lungs together, vessels and holes do the rest. Updates are made voxel by
voxel, so that threads change no bit. Neither sliding along the chest wall nor more tissue in one scan is modelled.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.box import CORNER, Box, bounding_box
from dras_model.imaging.coarse import coarsen
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.pair import DeformationQuality

STEP_MM = 2.5  # of the finest lattice
LEVELS = ((4, 100), (2, 100), (1, 60))  # lattice steps of each level, and its iterations
SMOOTHING_STEPS = 1.5  # standard deviation of the Gaussian that keeps the field smooth, per iteration
PRESMOOTHING = 0.4  # of a level's step
MARGIN_MM = 25.0  # around the fixed lungs
LOW, HIGH = -0.7, 1.4  # log density against the median; vessels and everything outside the lungs are HIGH
DENSEST_HU = 200.0
PLEURA_STEPS = (
    2  # of the lattice: so far from the pleura the inside is judged, since any outline fits another
)
THINNEST = 15.0  # g/L; the logarithm of less is noise
EXTENT_PERCENTILES = (1.0, 99.0)  # of the lungs' positions along each axis: a box without spurs

_Field = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A volume with the labels RIGHT and LEFT of its lungs on the same grid."""

    volume: Volume
    lungs: LabelMap


@dataclass(frozen=True, slots=True, eq=False)
class Deformation:
    """`shift_mm` (z, y, x, 3) is what to add to an LPS position of the fixed scan, on `grid`; and its quality."""

    shift_mm: _Field
    grid: Grid
    quality: DeformationQuality

    def to_moving(self, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map LPS mm (n, 3) of the fixed scan to the moving one; beyond the lattice nothing moves."""
        transform = _transform(_image(self.shift_mm, self.grid))
        return np.array([transform.TransformPoint(point) for point in world_mm.tolist()]).reshape(-1, 3)

    def warp(self, moving: Volume, grid: Grid, *, beyond: float) -> NDArray[np.float32]:
        """Values (z, y, x) of the moving scan's nearest voxels on a grid of the fixed one; `beyond` outside it.

        Nothing is interpolated: the mean of neighbours hides small holes.
        """
        warped = sitk.Resample(
            _image(moving.hu, moving.grid), _empty(grid),
            _transform(_image(self.shift_mm, self.grid)), sitk.sitkNearestNeighbor, beyond, sitk.sitkFloat32,
        )  # fmt: skip
        array: NDArray[np.float32] = sitk.GetArrayFromImage(warped)
        return array


def register(fixed: Scan, moving: Scan) -> Deformation:
    """Find the deformation from the fixed scan to the moving one, the same bits every time.

    ValueError where a scan has no lungs.
    """
    affine = _boxes_onto_each_other(fixed.lungs, moving.lungs)
    target, source = _feature(fixed), _feature(moving)
    lattice = _lattice(fixed.lungs)
    residual = _demons(target, source, affine, lattice)
    total = _to_field(sitk.CompositeTransform([affine, _transform(residual)]), residual)
    grid = _grid(total)
    quality = _quality(fixed, moving, total, target=target, source=source)
    return Deformation(sitk.GetArrayFromImage(total), grid, quality)


def lung_part(scan: Scan) -> Volume:
    """Return the voxels around the lungs, as a view."""
    box = _box(scan.lungs)
    return Volume(scan.volume.hu[box], cropped(scan.volume.grid, box))


def _feature(scan: Scan) -> sitk.Image:
    """Log density against the median in blocks of about 2 mm, HIGH outside the lungs; cropped to them."""
    part = lung_part(scan)
    grid = part.grid
    inside = np.isin(scan.lungs.labels[_box(scan.lungs)], (RIGHT, LEFT))
    density = np.where(inside, np.clip(part.hu, -1000.0, DENSEST_HU) + 1000.0, 0.0)
    total = coarsen(Volume(density.astype(np.float32), grid))
    cover = coarsen(Volume(inside.astype(np.float32), grid))
    mean = total.hu / np.maximum(cover.hu, 1e-3)
    median = float(np.median(mean[cover.hu > 0.99]))
    logarithm = np.clip(np.log(np.maximum(mean, THINNEST) / max(median, THINNEST)), LOW, HIGH)
    feature = cover.hu * logarithm + (1.0 - cover.hu) * HIGH
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] * np.array(total.factors)
    affine[:3, 3] = grid.to_world((np.array(total.factors) - 1) / 2.0)
    z, y, x = feature.shape
    return _image(feature.astype(np.float32), Grid((z, y, x), affine))


def _demons(target: sitk.Image, source: sitk.Image, affine: sitk.Transform, lattice: Grid) -> sitk.Image:
    """Field of the residual deformation: the moving scan is drawn with `affine` first."""
    residual: sitk.Image = _to_field(sitk.Transform(), _empty(_coarser(lattice, LEVELS[0][0])))
    for steps, iterations in LEVELS:
        level = _empty(_coarser(lattice, steps))
        fixed, moving = (
            sitk.Resample(_smoothed(image, steps), level, transform, sitk.sitkLinear, HIGH, sitk.sitkFloat32)
            for image, transform in ((target, sitk.Transform()), (source, affine))
        )
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(SMOOTHING_STEPS)
        start = sitk.Resample(residual, level, sitk.Transform(), sitk.sitkLinear, 0.0, residual.GetPixelID())
        residual = demons.Execute(fixed, moving, start)
    return residual


def _smoothed(image: sitk.Image, steps: int) -> sitk.Image:
    return image if steps == 1 else sitk.SmoothingRecursiveGaussian(image, PRESMOOTHING * steps * STEP_MM)


def _boxes_onto_each_other(fixed: LabelMap, moving: LabelMap) -> sitk.Transform:
    """Scale and shift along each axis that bring the fixed lungs' box onto the moving lungs'."""
    low, high = _extent(fixed)
    other_low, other_high = _extent(moving)
    scale = (other_high - other_low) / (high - low)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(np.diag(scale).ravel().tolist())
    transform.SetTranslation(((other_low + other_high) / 2.0 - scale * (low + high) / 2.0).tolist())
    return transform


def _extent(lungs: LabelMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest LPS mm (3,) of the lungs, but for spurs."""
    low, high = np.percentile(_positions(lungs), EXTENT_PERCENTILES, axis=0)
    return low, high


def _positions(lungs: LabelMap) -> NDArray[np.float64]:
    """LPS mm (n, 3) of lung voxels about STEP_MM apart; ValueError where there are none."""
    strides = [max(1, int(STEP_MM / size_mm)) for size_mm in lungs.grid.spacing_mm]
    few = lungs.labels[tuple(slice(None, None, stride) for stride in strides)]
    index = np.argwhere((few == RIGHT) | (few == LEFT))
    if len(index) == 0:
        raise ValueError("the labels hold no lung")
    return lungs.grid.to_world(index * strides)


def _lattice(lungs: LabelMap) -> Grid:
    """Return the lattice of STEP_MM around the fixed lungs, along the patient's axes whatever the scan's are."""
    world = _positions(lungs)
    low, high = world.min(axis=0) - MARGIN_MM, world.max(axis=0) + MARGIN_MM
    x, y, z = (int(n) for n in np.ceil((high - low) / STEP_MM) + 1)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = STEP_MM
    affine[:3, 3], affine[3, 3] = low, 1.0
    return Grid((z, y, x), affine)


def _coarser(lattice: Grid, steps: int) -> Grid:
    affine = lattice.affine.copy()
    affine[:3, :3] *= steps
    z, y, x = (-(-n // steps) for n in lattice.shape)
    return Grid((z, y, x), affine)


def _quality(
    fixed: Scan, moving: Scan, total: sitk.Image, *, target: sitk.Image, source: sitk.Image
) -> DeformationQuality:
    """Judge the deformation on its own lattice, inside the fixed lungs."""
    transform = _transform(total)
    labels, drawn = (
        sitk.GetArrayFromImage(
            sitk.Resample(
                _image(lungs.labels, lungs.grid), total, by, sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8
            )
        )
        for lungs, by in ((fixed.lungs, sitk.Transform()), (moving.lungs, transform))
    )
    inside = np.isin(labels, (RIGHT, LEFT))
    both = ndimage.binary_erosion(inside & np.isin(drawn, (RIGHT, LEFT)), iterations=PLEURA_STEPS)
    inhaled, exhaled = (
        sitk.GetArrayFromImage(sitk.Resample(image, total, by, sitk.sitkLinear, HIGH))[both]
        for image, by in ((source, transform), (target, sitk.Transform()))
    )
    jacobian = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(total))[inside]
    shift = np.linalg.norm(sitk.GetArrayFromImage(total)[inside], axis=1)
    return DeformationQuality(
        dice_right=_dice(labels == RIGHT, drawn == RIGHT),
        dice_left=_dice(labels == LEFT, drawn == LEFT),
        jacobian_least=float(jacobian.min()),
        jacobian_mean=float(jacobian.mean()),
        jacobian_most=float(jacobian.max()),
        folded_percent=100.0 * float(np.mean(jacobian <= 0.0)),
        similarity=float(np.corrcoef(inhaled, exhaled)[0, 1]) if both.any() else 0.0,
        shift_mean_mm=float(shift.mean()),
        shift_most_mm=float(shift.max()),
    )


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 0.0


def _box(lungs: LabelMap) -> Box:
    """Box of the lungs with a margin, inside the image."""
    z, y, x = (int(2 * STEP_MM / size_mm) + 1 for size_mm in lungs.grid.spacing_mm)
    return bounding_box(lungs.labels, (z, y, x)) or CORNER


def cropped(grid: Grid, box: Box) -> Grid:
    """Return the grid of the voxels of a box."""
    shape = [len(range(*part.indices(n))) for part, n in zip(box, grid.shape, strict=True)]
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(np.array([part.start for part in box]))
    return Grid((shape[0], shape[1], shape[2]), affine)


def _image(array: NDArray[np.generic], grid: Grid) -> sitk.Image:
    """Return the array (z, y, x) or (z, y, x, 3) as an ITK image in the same LPS millimetres."""
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    spacing = np.array(grid.spacing_mm)
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    image.SetDirection((grid.affine[:3, :3] / spacing)[:, ::-1].ravel().tolist())
    return image


def _empty(grid: Grid) -> sitk.Image:
    """Return an image that is nothing but its geometry."""
    return _image(np.broadcast_to(np.uint8(0), grid.shape), grid)


def _grid(image: sitk.Image) -> Grid:
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, :3], affine[:3, 3] = direction[:, ::-1], image.GetOrigin()
    x, y, z = image.GetSize()
    return Grid((z, y, x), affine)


def _transform(field: sitk.Image) -> sitk.Transform:
    return sitk.DisplacementFieldTransform(sitk.Image(field))  # the transform takes its argument away


def _to_field(transform: sitk.Transform, like: sitk.Image) -> sitk.Image:
    field: sitk.Image = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, like.GetSize(), like.GetOrigin(), like.GetSpacing(), like.GetDirection()
    )  # fmt: skip
    return field
