"""The report in plain words: a title a warning, a name a region. Leaves sentences and numbers to the result."""

from collections.abc import Mapping
from types import MappingProxyType

from dras_model.results.codes import Code
from dras_model.results.study import Region

TITLES: Mapping[Code, str] = MappingProxyType(
    {
        Code.SHARP_KERNEL: "Sharp kernel: emphysema overstated",
        Code.UNKNOWN_KERNEL: "Unknown kernel",
        Code.THICK_SLICE: "Thick slices: emphysema understated",
        Code.CONTRAST_ENHANCED: "Contrast agent: emphysema understated",
        Code.INCOMPLETE_LUNG: "Lungs not fully imaged",
        Code.PARTIAL_COVERAGE: "Part of the lungs outside the scan",
        Code.NOT_INSPIRATION: "Not at full inspiration",
        Code.SEGMENTATION_SUSPECT: "Doubtful lung outline",
        Code.REGISTRATION_SUSPECT: "Doubtful alignment to the atlas",
        Code.ORIENTATION_SUSPECT: "Sides may be wrong",
        Code.ATYPICAL: "Atypical lungs",
        Code.TILT: "Tilted gantry",
        Code.INTERPOLATED_SLICES: "Slices missing",
        Code.AVERAGED_VOXELS: "Averaged voxels",
        Code.RESCALE_ASSUMED: "Hounsfield units assumed",
        Code.LOSSY: "Compressed with loss",
        Code.DERIVED_IMAGE: "Derived images",
        Code.FILES_IGNORED: "Files ignored",
        Code.NONSTANDARD_FILE: "Nonstandard files",
        Code.EXECUTABLE_PREAMBLE: "Suspicious files",
        Code.ACQUISITION_UNKNOWN: "Acquisition unknown",
        Code.UNTRAINED_WEIGHTS: "Untrained encoder",
        Code.PHANTOM_TRAINED_WEIGHTS: "Phantom-trained encoder",
        Code.HIGH_NOISE: "Noisy images: emphysema overstated",
        Code.LOW_DOSE: "Low dose",
        Code.ITERATIVE_RECON: "Iterative reconstruction: emphysema understated",
        Code.HU_FLOOR: "Lowest densities cut off",
        Code.HARMONISATION_LIMITED: "Harmonised values limited",
        Code.AIR_CALIBRATION: "Air off its calibration",
        Code.KVP_NOT_120: "Tube voltage not 120 kV",
        Code.NOT_SUPINE: "Not supine",
        Code.OUT_OF_DOMAIN: "Outside what was verified",
    }
)

_SIDED = {"apical": "upper third", "middle": "middle third", "basal": "lower third"}
_WHOLE = {
    Region.WHOLE: "Both lungs",
    Region.RIGHT: "Right lung",
    Region.LEFT: "Left lung",
}


def title_of(code: Code) -> str:
    """Return the title of a warning; of a code without one, its name in words."""
    return TITLES.get(code, code.value.replace("_", " ").capitalize())


def name_of(region: Region) -> str:
    """Return a region as a clinician calls it."""
    if region in _WHOLE:
        return _WHOLE[region]
    side, _, part = region.value.partition("_")
    words = _SIDED.get(part) or _SIDED.get(side)
    if words is None:
        return region.value.replace("_", " ").capitalize()
    return f"{side.capitalize()} {words}" if part else f"Both {words.replace('third', 'thirds')}"
