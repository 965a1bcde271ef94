"""Every code a study can be answered with, and the one sentence each is rendered to.

Codes are add-only: a code that has been published keeps its name and its meaning. The sentence says
the rule, what was found and what to do next; its fields hold numbers and tag keywords, never a tag
value that could identify a patient.

It is longer than a module should be, as it is one table: whoever adds a code sees all that there are.
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
    READER_CRASHED = "READER_CRASHED"
    READER_LIMIT = "READER_LIMIT"
    MASK_GEOMETRY = "MASK_GEOMETRY"
    MASK_INVALID = "MASK_INVALID"
    PHASES_SWAPPED = "PHASES_SWAPPED"
    SAME_STUDY = "SAME_STUDY"
    RESULT_INVALID = "RESULT_INVALID"
    RESULT_VERSION = "RESULT_VERSION"
    COHORT_EMPTY = "COHORT_EMPTY"
    SOURCE_SERIES_MISSING = "SOURCE_SERIES_MISSING"
    SOURCE_SERIES_DIFFERS = "SOURCE_SERIES_DIFFERS"
    SOURCE_UNIDENTIFIED = "SOURCE_UNIDENTIFIED"
    DUPLICATE_SUBJECT = "DUPLICATE_SUBJECT"
    CASE_CRASHED = "CASE_CRASHED"
    FEATURE_UNKNOWN = "FEATURE_UNKNOWN"
    CASE_LIMIT = "CASE_LIMIT"
    STUDY_NOT_FOUND = "STUDY_NOT_FOUND"
    STUDY_NOT_FETCHED = "STUDY_NOT_FETCHED"

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
    ORIENTATION_SUSPECT = "ORIENTATION_SUSPECT"
    ATYPICAL = "ATYPICAL"
    TILT = "TILT"
    INTERPOLATED_SLICES = "INTERPOLATED_SLICES"
    AVERAGED_VOXELS = "AVERAGED_VOXELS"
    RESCALE_ASSUMED = "RESCALE_ASSUMED"
    LOSSY = "LOSSY"
    DERIVED_IMAGE = "DERIVED_IMAGE"
    FILES_IGNORED = "FILES_IGNORED"
    NONSTANDARD_FILE = "NONSTANDARD_FILE"
    EXECUTABLE_PREAMBLE = "EXECUTABLE_PREAMBLE"
    ACQUISITION_UNKNOWN = "ACQUISITION_UNKNOWN"
    UNTRAINED_WEIGHTS = "UNTRAINED_WEIGHTS"
    PHANTOM_TRAINED_WEIGHTS = "PHANTOM_TRAINED_WEIGHTS"
    HIGH_NOISE = "HIGH_NOISE"
    LOW_DOSE = "LOW_DOSE"
    ITERATIVE_RECON = "ITERATIVE_RECON"
    HU_FLOOR = "HU_FLOOR"
    HARMONISATION_LIMITED = "HARMONISATION_LIMITED"
    AIR_CALIBRATION = "AIR_CALIBRATION"
    KVP_NOT_120 = "KVP_NOT_120"
    NOT_SUPINE = "NOT_SUPINE"
    OUT_OF_DOMAIN = "OUT_OF_DOMAIN"
    NOT_EXPIRATION = "NOT_EXPIRATION"
    DEFORMATION_SUSPECT = "DEFORMATION_SUSPECT"
    MIXED_SCANNER = "MIXED_SCANNER"
    KERNEL_DIFFERS = "KERNEL_DIFFERS"
    THICKNESS_DIFFERS = "THICKNESS_DIFFERS"
    KVP_DIFFERS = "KVP_DIFFERS"
    CONTRAST_DIFFERS = "CONTRAST_DIFFERS"
    RECONSTRUCTION_DIFFERS = "RECONSTRUCTION_DIFFERS"
    COMPARABILITY_UNKNOWN = "COMPARABILITY_UNKNOWN"
    INFLATION_DIFFERS = "INFLATION_DIFFERS"
    METHOD_DIFFERS = "METHOD_DIFFERS"
    DEFINITION_DIFFERS = "DEFINITION_DIFFERS"
    EMBEDDINGS_INCOMPARABLE = "EMBEDDINGS_INCOMPARABLE"

    # Set-up
    ATLAS_INVALID = "ATLAS_INVALID"
    ATLAS_NOT_FOUND = "ATLAS_NOT_FOUND"
    BUNDLE_INVALID = "BUNDLE_INVALID"
    BUNDLE_NOT_FOUND = "BUNDLE_NOT_FOUND"
    BUNDLE_ATLAS_MISMATCH = "BUNDLE_ATLAS_MISMATCH"
    BUNDLE_ATLAS_MISSING = "BUNDLE_ATLAS_MISSING"
    BUNDLE_UNTRUSTED = "BUNDLE_UNTRUSTED"
    KEY_INVALID = "KEY_INVALID"
    CHECKPOINT_INVALID = "CHECKPOINT_INVALID"
    SEGMENTER_INVALID = "SEGMENTER_INVALID"
    MISSING_EXTRA = "MISSING_EXTRA"
    OUTPUT_NOT_WRITABLE = "OUTPUT_NOT_WRITABLE"
    READER_UNAVAILABLE = "READER_UNAVAILABLE"
    LIMITS_INVALID = "LIMITS_INVALID"
    REPEAT_IMPOSSIBLE = "REPEAT_IMPOSSIBLE"
    SOURCE_NEEDED = "SOURCE_NEEDED"
    RECIPE_INVALID = "RECIPE_INVALID"
    COHORT_INVALID = "COHORT_INVALID"
    BATCH_INVALID = "BATCH_INVALID"
    LEDGER_INVALID = "LEDGER_INVALID"
    LEDGER_BUSY = "LEDGER_BUSY"
    WORKER_UNAVAILABLE = "WORKER_UNAVAILABLE"
    PACS_UNREACHABLE = "PACS_UNREACHABLE"
    STORE_INVALID = "STORE_INVALID"
    STORE_ATLAS_MISMATCH = "STORE_ATLAS_MISMATCH"
    RESUME_IMPOSSIBLE = "RESUME_IMPOSSIBLE"
    TRAINING_DIVERGED = "TRAINING_DIVERGED"
    EXPORT_DIFFERS = "EXPORT_DIFFERS"
    TABLE_INVALID = "TABLE_INVALID"
    HEAD_MISFIT = "HEAD_MISFIT"
    HEAD_UNSUITED = "HEAD_UNSUITED"


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


# size: one table of all codes; split in two it could not be read beside the enumeration.
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
            "The files name {n_patients} patients; give one study, or name a series by its UID ({series})."
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
        Code.READER_CRASHED: _refusal(
            "A file of the study brought its reader down ({how}): it is damaged or hostile."
        ),
        Code.READER_LIMIT: _refusal("Reading the study takes more {what} than its size allows."),
        Code.MASK_GEOMETRY: _refusal(
            "The mask does not lie on the voxels of the scan: the mask has {mask}, the scan {scan}."
        ),
        Code.MASK_INVALID: _refusal("The mask cannot be used: {reason}."),
        Code.PHASES_SWAPPED: _refusal(
            "The scan given as expiration holds {expiration_ml:.0f} mL, the inspiration only"
            " {inspiration_ml:.0f} mL; give the inspiration first."
        ),
        Code.SAME_STUDY: _refusal("The same images were given twice; give two different scans."),
        Code.RESULT_INVALID: _refusal("{path} holds no result of `dras extract`: {reason}."),
        Code.RESULT_VERSION: _refusal(
            "{path} is a result of schema {found}, this version reads {expected}; extract the study again."
        ),
        Code.COHORT_EMPTY: _refusal("None of {n_results} results can be read; no table was made of them."),
        Code.SOURCE_SERIES_MISSING: _refusal(
            "The CT series that the result was made of is not at {path}: {reason}."
        ),
        Code.SOURCE_SERIES_DIFFERS: _refusal(
            "The CT series at {path} is not what it was when the result was made: its {what} differ; give the"
            " original files, or extract the study again."
        ),
        Code.SOURCE_UNIDENTIFIED: _refusal(
            "No DICOM object can be made of this series: its {keyword} is missing or invalid."
        ),
        Code.FEATURE_UNKNOWN: _refusal("The result has no feature {name}; it has {known}."),
        Code.DUPLICATE_SUBJECT: _refusal(
            "The cohort holds this subject already (the same {what}); the first one is kept."
        ),
        Code.CASE_CRASHED: _refusal("This case failed by a defect, not by a rule: {how}."),
        Code.CASE_LIMIT: _refusal("This case takes more than the {limit} that are allowed."),
        Code.STUDY_NOT_FETCHED: _refusal("The study cannot be fetched from the PACS: {reason}."),
        Code.STUDY_NOT_FOUND: _refusal("The source holds no study of this Study Instance UID."),
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
        Code.ORIENTATION_SUSPECT: _warning("The image contradicts its stated orientation: {evidence}."),
        Code.ATYPICAL: _warning("The lungs are atypical: {evidence}."),
        Code.TILT: _warning(
            "The gantry was tilted by {degrees:.1f}°; slices were sheared to the true geometry."
        ),
        Code.INTERPOLATED_SLICES: _warning(
            "Slices were interpolated between their true positions: {n_missing} were missing, the widest gap is"
            " {gap_mm:.1f} mm."
        ),
        Code.AVERAGED_VOXELS: _warning(
            "The scan holds {megavoxels:.0f} million voxels; blocks of {block} were averaged to {size} for"
            " analysis, which lowers noise and with it LAA."
        ),
        Code.RESCALE_ASSUMED: _warning(
            "The header has no rescale to Hounsfield units; the values were taken as they are, because air and soft"
            " tissue lie where Hounsfield units have them."
        ),
        Code.LOSSY: _warning("The images were compressed with loss."),
        Code.DERIVED_IMAGE: _warning("The series is marked as derived, not as an original reconstruction."),
        Code.FILES_IGNORED: _warning("{n_ignored} files or images were ignored ({reasons})."),
        Code.NONSTANDARD_FILE: _warning(
            "{n_files} files depart from the DICOM file format and were read all the same ({departures})."
        ),
        Code.EXECUTABLE_PREAMBLE: _warning(
            "{n_files} files begin like a program; that beginning was not kept, the source may be hostile."
        ),
        Code.ACQUISITION_UNKNOWN: _warning(
            "The input carries no acquisition data: kernel, contrast and dose are unknown."
        ),
        Code.UNTRAINED_WEIGHTS: _warning(
            "The encoder's weights are untrained (seed {seed}): embeddings show that the service works and have"
            " no clinical meaning."
        ),
        Code.PHANTOM_TRAINED_WEIGHTS: _warning(
            "The encoder's weights were trained on {data} and on no patient: embeddings tell invented lungs apart"
            " and have no clinical meaning."
        ),
        Code.HIGH_NOISE: _warning(
            "The noise in the trachea is {noise_hu:.0f} HU (limit {limit_hu:.0f} HU): it raises LAA and lowers"
            " Perc15."
        ),
        Code.LOW_DOSE: _warning(
            "The dose is low ({evidence}): noise and dose reduction move voxels across the thresholds."
        ),
        Code.ITERATIVE_RECON: _warning(
            "The images were reconstructed iteratively or by a learnt method: LAA comes out lower than by"
            " filtered back-projection."
        ),
        Code.HU_FLOOR: _warning(
            "{percent:.2f} % of the lung voxels have the lowest value, {lowest_hu:.0f} HU: values are cut off"
            " there, or padding lies inside the lungs."
        ),
        Code.HARMONISATION_LIMITED: _warning("Harmonisation over kernel and noise is limited: {evidence}."),
        Code.AIR_CALIBRATION: _warning(
            "Air in the trachea measures {air_hu:.0f} HU, outside {low_hu:.0f} to {high_hu:.0f} HU: densities"
            " may be shifted."
        ),
        Code.KVP_NOT_120: _warning(
            "The tube voltage was {kvp:.0f} kV; thresholds and normal values are for {expected_kvp:.0f} kV."
        ),
        Code.NOT_SUPINE: _warning(
            "The patient did not lie supine ({position}): density and its distribution depend on posture."
        ),
        Code.OUT_OF_DOMAIN: _warning(
            "The {what} is {value:.5g} {unit}, outside {low:g} to {high:g} {unit}, where the scores were verified."
        ),
        Code.NOT_EXPIRATION: _warning(
            "The second scan may not be at expiration ({evidence}): gas trapping assumes it."
        ),
        Code.DEFORMATION_SUSPECT: _warning(
            "The inspiration could not be laid onto the expiration reliably ({evidence}): no PRM is given."
        ),
        Code.MIXED_SCANNER: _warning(
            "The scanners differ ({evidence}): densities of two scanners differ by themselves."
        ),
        Code.KERNEL_DIFFERS: _warning(
            "The kernels differ ({baseline} and {other}): differences of LAA and percentiles are not to be read as"
            " change (a kernel alone moves LAA-950 by 7 to 14 points)."
        ),
        Code.THICKNESS_DIFFERS: _warning(
            "The slices are {baseline_mm:.2f} and {other_mm:.2f} mm thick: thicker ones show less low attenuation."
        ),
        Code.KVP_DIFFERS: _warning("The tube voltages differ ({baseline:.0f} and {other:.0f} kV)."),
        Code.CONTRAST_DIFFERS: _warning(
            "One of the scans was made with contrast agent ({evidence}): it raises lung density and lowers LAA."
        ),
        Code.RECONSTRUCTION_DIFFERS: _warning(
            "One of the scans was reconstructed iteratively: noise and low densities differ by that alone."
        ),
        Code.COMPARABILITY_UNKNOWN: _warning(
            "It cannot be checked whether both scans share {what}: a header is silent."
        ),
        Code.INFLATION_DIFFERS: _warning(
            "The lungs hold {percent:+.1f} % of volume against the first scan (limit {limit_percent:.0f} %):"
            " inflation alone moves LAA and Perc15; see the volume-adjusted Perc15."
        ),
        Code.METHOD_DIFFERS: _warning("The results were not made in the same way ({evidence})."),
        Code.DEFINITION_DIFFERS: _warning(
            "The definition of {codes} differs between the results: no difference is given."
        ),
        Code.EMBEDDINGS_INCOMPARABLE: _warning("Embeddings cannot be compared: {reason}."),
        Code.ATLAS_INVALID: _setup("The atlas {name} is invalid: {reason}."),
        Code.ATLAS_NOT_FOUND: _setup("There is no atlas at {name}."),
        Code.BUNDLE_INVALID: _setup("The model bundle {name} is invalid: {reason}."),
        Code.BUNDLE_NOT_FOUND: _setup("There is no model bundle at {name}."),
        Code.BUNDLE_ATLAS_MISMATCH: _setup(
            "The model bundle {name} belongs to atlas {expected}, not to {found}; name the atlas it belongs to."
        ),
        Code.BUNDLE_ATLAS_MISSING: _setup(
            "The model bundle {name} belongs to atlas {atlas} ({sha256}), which is not among the atlases in"
            " {folder}; import that atlas with `dras atlas import`, or name it."
        ),
        Code.BUNDLE_UNTRUSTED: _setup(
            "The model bundle {name} is {state}, and this installation takes signed bundles only; sign it with"
            " `dras model sign`, or trust its signer with `dras model trust`."
        ),
        Code.KEY_INVALID: _setup("The key {name} cannot be used: {reason}."),
        Code.CHECKPOINT_INVALID: _setup("The checkpoint {name} cannot be imported: {reason}."),
        Code.SEGMENTER_INVALID: _setup("The segmenter {name} cannot be used: {reason}."),
        Code.MISSING_EXTRA: _setup(
            "This needs the package {package}; install it with `pip install 'dras[{extra}]'`."
        ),
        Code.REPEAT_IMPOSSIBLE: _setup("The run cannot be repeated from its result: {reason}."),
        Code.SOURCE_NEEDED: _setup(
            "{forms} cannot be made without the images that the result is of; name them with --source."
        ),
        Code.RECIPE_INVALID: _setup("The recipe {name} cannot be used: {reason}."),
        Code.COHORT_INVALID: _setup("The cohort {name} cannot be used: {reason}."),
        Code.BATCH_INVALID: _setup("The batch file {name} cannot be used: {reason}."),
        Code.LEDGER_INVALID: _setup("{path} holds no ledger of a batch that can be used: {reason}."),
        Code.LEDGER_BUSY: _setup(
            "Another `dras batch run` is at work in {path}; wait for it, or stop it with Ctrl-C."
        ),
        Code.STORE_INVALID: _setup("The patch store {name} cannot be used: {reason}."),
        Code.STORE_ATLAS_MISMATCH: _setup(
            "The patch store {name} was cut by atlas {expected}, the recipe names {found}; name the store's atlas,"
            " or prepare another store."
        ),
        Code.RESUME_IMPOSSIBLE: _setup(
            "Training cannot go on from the checkpoint in {name}: {reason}; name another run folder to begin anew."
        ),
        Code.TRAINING_DIVERGED: _setup(
            "The loss is no finite number at step {step}; lower the learning rate (now {learning_rate:g})."
        ),
        Code.EXPORT_DIFFERS: _setup(
            "The graph of the bundle {name} differs from the trained network by {difference:.1e}, allowed is"
            " {limit:.1e}; nothing was written."
        ),
        Code.TABLE_INVALID: _setup("The table {name} cannot be used: {reason}."),
        Code.HEAD_MISFIT: _setup(
            "The embeddings were not made by the bundle {name}; name the bundle that made them, or encode again."
        ),
        Code.HEAD_UNSUITED: _setup("The head {name} of the bundle {bundle} cannot be used here: {reason}."),
        Code.LIMITS_INVALID: _setup("The limits in {name} cannot be used: {reason}."),
        Code.OUTPUT_NOT_WRITABLE: _setup("The output folder {path} cannot be written: {reason}."),
        Code.PACS_UNREACHABLE: _setup("The PACS {name} cannot be asked: {reason}."),
        Code.WORKER_UNAVAILABLE: _setup("The process that computes studies does not start: {reason}."),
        Code.READER_UNAVAILABLE: _setup("The process that reads studies does not start: {reason}."),
    }
)


def render(code: Code, fields: Mapping[str, object]) -> str:
    """Return the sentence of `code` with its fields filled in; KeyError where one is missing."""
    return CODES[code].sentence.format_map(dict(fields))
