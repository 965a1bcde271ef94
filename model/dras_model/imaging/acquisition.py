"""How a series was made, as its header says: what scores need to judge themselves by.

Free text (descriptions, comments) is searched for a few words and never kept: people write names into
it. Every field is None where the header is silent; nothing is concluded from silence.
"""

import hashlib
import re
from typing import Literal, TypeAlias

from pydicom.multival import MultiValue

from dras_model.imaging.attributes import Levels, first, number, text, values
from dras_model.results.study import Acquisition

Phase: TypeAlias = Literal["inspiration", "expiration"]

# Where a breath is named, the most specific attribute first: one protocol often holds both breaths.
_DESCRIPTIONS = ("SeriesDescription", "ImageComments", "AcquisitionProtocolDescription", "ProtocolName")
_LETTER = "A-ZÀ-ÖØ-Þ"


def _words(*stems: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![{_LETTER}])(?:{'|'.join(stems)})(?![{_LETTER}])")


# English, German (Exspiration, Einatmung), French (inspi, expi), Italian and Spanish (espirazione).
_BREATHS: dict[Phase, re.Pattern[str]] = {
    "inspiration": _words(
        "INSP", "INSPI", rf"INSPIR[{_LETTER}]*", rf"EINATM[{_LETTER}]*", rf"EINGEATM[{_LETTER}]*",
        rf"INHAL[{_LETTER}]*", "TLC",
    ),
    "expiration": _words(
        "EXS?P", "EXS?PI", rf"EXS?PIR[{_LETTER}]*", rf"ESPIR[{_LETTER}]*", rf"AUSATM[{_LETTER}]*",
        rf"AUSGEATM[{_LETTER}]*", rf"EXHAL[{_LETTER}]*", "FRC",
    ),
}  # fmt: skip
# The vendors' names of iterative and of learnt reconstruction; both reshape noise and low densities.
_ITERATIVE = _words(
    "ITERATIVE", "MODEL.?BASED", r"ASIR(?:.?V)?", "SAFIRE", "ADMIRE", "IRIS", "QIR", r"IDOSE.?4?", "IMR",
    r"AIDR(?:.?3D)?", "VEO", "MBIR", r"TRUE.?FIDELITY", "DLIR", "AICE", r"PRECISE.?IMAGE", "CLEARVIEW",
)  # fmt: skip
_SIEMENS_PROJECTED = re.compile(r"^B\d\d")  # B31f; its iterative twin is called I31f
_SIEMENS_ITERATED = re.compile(r"^[IJ]\d\d|^[BHQ][A-Z]\d\d[A-Z]?[\\ ][1-5]$")  # I31f\3, Br40d\3
LONGEST_TURN_MS = 2000.0  # a longer exposure time is that of the whole scan


def read_acquisition(levels: Levels) -> Acquisition:
    """Read what the header of one image says of its making (PS3.3 C.7.5.1, C.8.2.1, C.8.15.3)."""
    root = levels[-1]
    # An empty agent is "unknown" (type 2); an enhanced object names it in a sequence (C.7.6.4b).
    agent = text(first(levels, "ContrastBolusAgent")) or first(levels, "ContrastBolusAgentSequence")
    manufacturer = text(root.get("Manufacturer")) or None
    kernel = _kernel(first(levels, "ConvolutionKernel"))
    return Acquisition(
        manufacturer=manufacturer,
        model=text(root.get("ManufacturerModelName")) or None,
        kernel=kernel,
        kvp=number(first(levels, "KVP")),
        slice_thickness_mm=number(first(levels, "SliceThickness")),
        contrast_agent=True if agent else None,
        patient_position=text(root.get("PatientPosition")) or None,
        phase_stated=_phase(levels),
        exposure_mas=_exposure_mas(levels),
        ctdi_vol_mgy=number(first(levels, "CTDIvol")),
        filter_type=text(first(levels, "FilterType")) or None,
        reconstruction=text(first(levels, "ReconstructionAlgorithm")).upper() or None,
        iterative=_iterative(levels, manufacturer or "", kernel or ""),
        scanner_key=_scanner_key(levels),
        lowest_hu=_lowest_hu(levels),
    )


def _kernel(value: object) -> str | None:
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else text(value) or None


def _phase(levels: Levels) -> Phase | None:
    """Return the breath that is named: the first description that names exactly one decides."""
    for keyword in _DESCRIPTIONS:
        description = text(first(levels, keyword)).upper()
        named: list[Phase] = [phase for phase, words in _BREATHS.items() if words.search(description)]
        if len(named) == 1:
            return named[0]
    return None


def _exposure_mas(levels: Levels) -> float | None:
    """Exposure of one turn, as stated or as current times time, whichever is more.

    A GE LightSpeed states 3 mAs beside 99 mA for 500 ms, so neither attribute serves alone.
    """
    stated = _largest(levels, ("Exposure", 1.0), ("ExposureInmAs", 1.0), ("ExposureInuAs", 1e-3))
    current_ma = _largest(levels, ("XRayTubeCurrent", 1.0), ("XRayTubeCurrentInmA", 1.0))
    time_ms = _largest(levels, ("ExposureTime", 1.0), ("ExposureTimeInms", 1.0), ("RevolutionTime", 1000.0))
    product = None
    if current_ma is not None and time_ms is not None and time_ms <= LONGEST_TURN_MS:
        product = current_ma * time_ms / 1000.0
    return max((found for found in (stated, product) if found is not None), default=None)


def _largest(levels: Levels, *attributes: tuple[str, float]) -> float | None:
    """Return the largest positive value of some attributes, each times its unit."""
    found = [(number(first(levels, keyword)), unit) for keyword, unit in attributes]
    return max((value * unit for value, unit in found if value is not None and value > 0), default=None)


def _iterative(levels: Levels, manufacturer: str, kernel: str) -> bool | None:
    """Whether the reconstruction was iterative or learnt, None where nothing tells."""
    algorithm = text(first(levels, "ReconstructionAlgorithm")).upper()
    if algorithm == "FILTER_BACK_PROJ":
        return False
    siemens = "SIEMENS" in manufacturer.upper()
    named = [*values(first(levels, "ImageType")), algorithm, kernel.upper()]
    named += [text(first(levels, keyword)).upper() for keyword in ("FilterType", *_DESCRIPTIONS)]
    if any(_ITERATIVE.search(part) for part in named):
        return True
    if siemens and _SIEMENS_ITERATED.search(kernel.upper()):
        return True
    return False if siemens and _SIEMENS_PROJECTED.search(kernel.upper()) else None


def _scanner_key(levels: Levels) -> str | None:
    """Digest that tells whether two scans come from one machine; the serial number is not kept."""
    serial = text(first(levels, "DeviceSerialNumber"))
    if not serial:
        return None
    named = [text(first(levels, keyword)) for keyword in ("Manufacturer", "ManufacturerModelName")]
    return hashlib.sha256("\0".join([*named, serial]).encode()).hexdigest()[:16]


def _lowest_hu(levels: Levels) -> float | None:
    """Lowest HU that the stored values can express; noise below it was cut off."""
    slope, intercept = (number(first(levels, keyword)) for keyword in ("RescaleSlope", "RescaleIntercept"))
    bits = number(levels[-1].get("BitsStored"))
    if slope is None or intercept is None or bits is None or slope <= 0 or not 1 <= bits <= 16:
        return None
    lowest = -(2.0 ** (bits - 1)) if levels[-1].get("PixelRepresentation") == 1 else 0.0
    return lowest * slope + intercept
