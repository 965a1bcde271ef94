"""Every code a study can be answered with, and the one sentence each is rendered to.

Codes are add-only: a code that has been published keeps its name and its meaning. The sentence says
the rule, what was found and what to do next; its fields hold numbers and tag keywords, never a tag
value that could identify a patient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """What a code does to the study."""

    WARNING = "warning"  # the result is given, flagged
    REFUSAL = "refusal"  # the study is refused, no embedding leaves the house
    SETUP = "setup"  # a bundle, an atlas or a setting is wrong: the operator's to mend


class Code(StrEnum):
    """The stable name of a warning, of a refusal or of a fault in the set-up."""

    # Refusals
    NOT_FOUND = "NOT_FOUND"
    NOT_DICOM = "NOT_DICOM"
    ARCHIVE_INVALID = "ARCHIVE_INVALID"
    ARCHIVE_TOO_LARGE = "ARCHIVE_TOO_LARGE"
    NO_CT_SERIES = "NO_CT_SERIES"
    SERIES_NOT_FOUND = "SERIES_NOT_FOUND"
    TOO_FEW_SLICES = "TOO_FEW_SLICES"
    GEOMETRY_MISSING = "GEOMETRY_MISSING"
    INCONSISTENT_GEOMETRY = "INCONSISTENT_GEOMETRY"
    DUPLICATE_POSITIONS = "DUPLICATE_POSITIONS"
    DUPLICATE_CONFLICT = "DUPLICATE_CONFLICT"
    MISSING_SLICES = "MISSING_SLICES"
    MIXED_PATIENT = "MIXED_PATIENT"
    PIXEL_FORMAT = "PIXEL_FORMAT"
    TRUNCATED = "TRUNCATED"
    MALFORMED = "MALFORMED"
    UNDECODABLE = "UNDECODABLE"
    RESCALE_INVALID = "RESCALE_INVALID"
    NOT_HU = "NOT_HU"
    OUT_OF_SCOPE = "OUT_OF_SCOPE"
    VOLUME_TOO_LARGE = "VOLUME_TOO_LARGE"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"
    NIFTI_INVALID = "NIFTI_INVALID"

    # Warnings
    SHARP_KERNEL = "SHARP_KERNEL"
    UNKNOWN_KERNEL = "UNKNOWN_KERNEL"
    THICK_SLICE = "THICK_SLICE"
    CONTRAST_ENHANCED = "CONTRAST_ENHANCED"
    INCOMPLETE_LUNG = "INCOMPLETE_LUNG"
    PARTIAL_COVERAGE = "PARTIAL_COVERAGE"
    NOT_INSPIRATION = "NOT_INSPIRATION"
    SEGMENTATION_SUSPECT = "SEGMENTATION_SUSPECT"
    REGISTRATION_SUSPECT = "REGISTRATION_SUSPECT"
    ATYPICAL = "ATYPICAL"
    TILT = "TILT"
    INTERPOLATED_SLICES = "INTERPOLATED_SLICES"
    LOSSY = "LOSSY"
    DERIVED_IMAGE = "DERIVED_IMAGE"
    FILES_IGNORED = "FILES_IGNORED"
    ACQUISITION_UNKNOWN = "ACQUISITION_UNKNOWN"
    UNTRAINED_WEIGHTS = "UNTRAINED_WEIGHTS"

    # Set-up
    ATLAS_INVALID = "ATLAS_INVALID"
    ATLAS_NOT_FOUND = "ATLAS_NOT_FOUND"
    BUNDLE_INVALID = "BUNDLE_INVALID"
    BUNDLE_NOT_FOUND = "BUNDLE_NOT_FOUND"
    BUNDLE_ATLAS_MISMATCH = "BUNDLE_ATLAS_MISMATCH"
    CHECKPOINT_INVALID = "CHECKPOINT_INVALID"
    SEGMENTER_INVALID = "SEGMENTER_INVALID"
    MISSING_EXTRA = "MISSING_EXTRA"
    OUTPUT_NOT_WRITABLE = "OUTPUT_NOT_WRITABLE"


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """The row of one code: its kind and its sentence, a `str.format` template over the fields."""

    kind: Kind
    sentence: str


def _refusal(sentence: str) -> CodeEntry:
    return CodeEntry(Kind.REFUSAL, sentence)


def _warning(sentence: str) -> CodeEntry:
    return CodeEntry(Kind.WARNING, sentence)


def _setup(sentence: str) -> CodeEntry:
    return CodeEntry(Kind.SETUP, sentence)


CODES: Mapping[Code, CodeEntry] = MappingProxyType(
    {
        Code.NOT_FOUND: _refusal("There is no readable file or folder at {path}."),
        Code.NOT_DICOM: _refusal(
            "No DICOM or NIfTI image among {n_files} files; give a folder, a zip or a tar of one CT study."
        ),
        Code.ARCHIVE_INVALID: _refusal(
            "The archive cannot be read ({fault}); pack the study again as zip or tar."
        ),
        Code.ARCHIVE_TOO_LARGE: _refusal(
            "The archive holds more than {limit} {unit}; send one study at a time."
        ),
        Code.NO_CT_SERIES: _refusal(
            "No axial CT series among {n_series} series (modalities: {modalities}); {reason}."
        ),
        Code.SERIES_NOT_FOUND: _refusal("The named series is not among the {n_series} series of this study."),
        Code.TOO_FEW_SLICES: _refusal(
            "The series has {n_slices} slices over {extent_mm:.0f} mm; at least {least_slices} slices over"
            " {least_extent_mm:.0f} mm are needed."
        ),
        Code.GEOMETRY_MISSING: _refusal(
            "{n_slices} of the slices lack a usable {keyword}; positions are never guessed."
        ),
        Code.INCONSISTENT_GEOMETRY: _refusal(
            "{what} changes within the series ({found}); give a series of one geometry."
        ),
        Code.DUPLICATE_POSITIONS: _refusal(
            "{n_duplicates} slices share a position with another slice and no acquisition tag separates them."
        ),
        Code.DUPLICATE_CONFLICT: _refusal(
            "{n_duplicates} SOP instance UIDs occur twice with different content; send each image once."
        ),
        Code.MISSING_SLICES: _refusal(
            "{n_missing} of {n_expected} slices are missing, the widest gap is {gap_mm:.1f} mm; at most"
            " {most_percent:.0f} % and {most_gap_mm:.0f} mm can be bridged."
        ),
        Code.MIXED_PATIENT: _refusal(
            "The files name {n_patients} patients; give one study, or name a series by its Series Instance UID."
        ),
        Code.PIXEL_FORMAT: _refusal(
            "{keyword} is {found}, allowed is {allowed}; the pixels cannot be trusted."
        ),
        Code.TRUNCATED: _refusal("{n_files} files end before their pixel data do; send the study again."),
        Code.MALFORMED: _refusal(
            "{n_files} files are empty, damaged or cannot be read; send the study again."
        ),
        Code.UNDECODABLE: _refusal(
            "The pixel data of {n_files} files cannot be decoded (transfer syntax {syntax})."
        ),
        Code.RESCALE_INVALID: _refusal(
            "RescaleSlope or RescaleIntercept is missing, zero or no number in {n_slices} slices."
        ),
        Code.NOT_HU: _refusal(
            "The values are not Hounsfield units: {reason}; send the original CT reconstruction."
        ),
        Code.OUT_OF_SCOPE: _refusal("This is no CT of the lungs: {reason}; no embedding or score is given."),
        Code.VOLUME_TOO_LARGE: _refusal(
            "The series has {megavoxels:.0f} million voxels, more than the {limit:.0f} million allowed."
        ),
        Code.REGISTRATION_FAILED: _refusal("The lungs cannot be aligned to the atlas: {reason}."),
        Code.NIFTI_INVALID: _refusal("The NIfTI file cannot be used: {reason}."),
        Code.SHARP_KERNEL: _warning(
            "The convolution kernel {kernel} is sharp: noise raises LAA and lowers Perc15 (by 7 to 14 points of"
            " LAA-950 in published and measured pairs)."
        ),
        Code.UNKNOWN_KERNEL: _warning(
            "The convolution kernel is unknown ({kernel}): LAA and Perc15 depend on it."
        ),
        Code.THICK_SLICE: _warning(
            "Slices are {thickness_mm:.2f} mm thick (limit {limit_mm:.2f} mm): averaging lowers LAA-950."
        ),
        Code.CONTRAST_ENHANCED: _warning("Contrast agent raises lung density and lowers LAA: {evidence}."),
        Code.INCOMPLETE_LUNG: _warning(
            "The lungs reach the {where} of the scan ({percent:.1f} % {of}): part of them is not imaged."
        ),
        Code.PARTIAL_COVERAGE: _warning(
            "As aligned, {percent:.0f} % of the atlas' lungs lie inside the scan; of cut lungs it is at most that."
        ),
        Code.NOT_INSPIRATION: _warning(
            "The scan may not be at full inspiration ({evidence}): LAA-950insp and Perc15 assume it."
        ),
        Code.SEGMENTATION_SUSPECT: _warning("The lung segmentation is doubtful: {evidence}."),
        Code.REGISTRATION_SUSPECT: _warning("The alignment to the atlas is doubtful: {evidence}."),
        Code.ATYPICAL: _warning("The lungs are atypical: {evidence}."),
        Code.TILT: _warning(
            "The gantry was tilted by {degrees:.1f}°; slices were sheared to the true geometry."
        ),
        Code.INTERPOLATED_SLICES: _warning(
            "Slices were interpolated between their true positions: {n_missing} were missing, the widest gap is"
            " {gap_mm:.1f} mm."
        ),
        Code.LOSSY: _warning("The images were compressed with loss."),
        Code.DERIVED_IMAGE: _warning("The series is marked as derived, not as an original reconstruction."),
        Code.FILES_IGNORED: _warning("{n_ignored} files or images were ignored ({reasons})."),
        Code.ACQUISITION_UNKNOWN: _warning(
            "The input carries no acquisition data: kernel, contrast and dose are unknown."
        ),
        Code.UNTRAINED_WEIGHTS: _warning(
            "The encoder's weights are untrained (seed {seed}): embeddings show that the service works and have"
            " no clinical meaning."
        ),
        Code.ATLAS_INVALID: _setup("The atlas {name} is invalid: {reason}."),
        Code.ATLAS_NOT_FOUND: _setup("There is no atlas at {name}."),
        Code.BUNDLE_INVALID: _setup("The model bundle {name} is invalid: {reason}."),
        Code.BUNDLE_NOT_FOUND: _setup("There is no model bundle at {name}."),
        Code.BUNDLE_ATLAS_MISMATCH: _setup(
            "The model bundle {name} belongs to atlas {expected}, not to {found}; name the atlas it belongs to."
        ),
        Code.CHECKPOINT_INVALID: _setup("The checkpoint {name} cannot be imported: {reason}."),
        Code.SEGMENTER_INVALID: _setup("The segmenter {name} cannot be used: {reason}."),
        Code.MISSING_EXTRA: _setup(
            "This needs the package {package}; install it with `pip install 'dras[{extra}]'`."
        ),
        Code.OUTPUT_NOT_WRITABLE: _setup("The output folder {path} cannot be written: {reason}."),
    }
)


def render(code: Code, fields: Mapping[str, object]) -> str:
    """Return the sentence of `code` with its fields filled in; KeyError where one is missing."""
    return CODES[code].sentence.format_map(dict(fields))
