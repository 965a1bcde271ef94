"""Where the numbers of the page come from: the line on the scan, and the small print that repeats a run.

Nothing here names a patient, a study or a series: of the header only how the images were made.
"""

from dras_model.outputs.report.page import drawable
from dras_model.results.study import Acquisition, StudyResult

_MOST_TAG = 40  # letters of a tag: a maker's name or a kernel is shorter


def acquisition_line(result: StudyResult) -> str:
    """Return scanner, kernel and geometry in one line; what the header does not say is said to be unknown."""
    made, geometry = result.acquisition, result.geometry
    x, y, z = geometry.size_xyz
    dx, dy, dz = geometry.spacing_xyz_mm
    facts = [
        _scanner(made),
        f"kernel {_tag(made.kernel)}" if made.kernel else "kernel unknown",
        f"{made.kvp:g} kV" if made.kvp is not None else "tube voltage unknown",
        f"slices {made.slice_thickness_mm:.2f} mm" if made.slice_thickness_mm else "slice thickness unknown",
        f"{x} × {y} × {z} voxels of {dx:.2f} × {dy:.2f} × {dz:.2f} mm",
    ]
    if made.patient_position:
        facts.append(f"position {_tag(made.patient_position)}")
    if made.contrast_agent is not None:
        facts.append("contrast agent stated" if made.contrast_agent else "no contrast agent stated")
    phase = result.scores[0].phase if result.scores else "unknown"
    facts.append(f"taken as {phase}" if phase != "unknown" else "breath unknown")
    return " · ".join(facts)


def provenance_lines(result: StudyResult) -> tuple[tuple[str, str], ...]:
    """Return name and value of what it takes to repeat the run, and how well the parts of it went."""
    made, weights = result.provenance, result.provenance.weights
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(made.libraries.items()))
    alignment, patches = result.qc.registration, result.qc.patches
    aligned = f"Dice right {alignment.dice_right:.2f}, left {alignment.dice_left:.2f}"
    signature = weights.signature or "signature not recorded"
    lines = [
        (
            "Program",
            f"dras {made.dras_version}, result schema {result.schema_version}, {made.device}; {libraries}",
        ),
        ("Weights", f"{weights.name}, {weights.training}, {signature}"),
        ("Input SHA-256", made.input_sha256),
        ("Encoder SHA-256", weights.encoder_sha256),
        ("Atlas", f"{weights.atlas}, SHA-256 {weights.atlas_sha256}"),
        ("Lung outline", _lungs(result)),
        ("Alignment", f"{aligned}; {patches.n_valid} of {patches.n_patches} patches valid"),
    ]
    if weights.bundle_sha256:
        lines.insert(4, ("Bundle SHA-256", weights.bundle_sha256))
    return tuple((name, drawable(value)) for name, value in lines)


def _lungs(result: StudyResult) -> str:
    segmenter = result.provenance.parameters.get("segmenter", "not recorded")
    lungs = result.qc.lungs
    return f"{segmenter}; right {lungs.right_ml / 1000:.2f} L, left {lungs.left_ml / 1000:.2f} L"


def _scanner(made: Acquisition) -> str:
    return " ".join(_tag(name) for name in (made.manufacturer, made.model) if name) or "unknown scanner"


def _tag(text: str) -> str:
    shown = drawable(text)
    return shown if len(shown) <= _MOST_TAG else f"{shown[: _MOST_TAG - 1]}…"
