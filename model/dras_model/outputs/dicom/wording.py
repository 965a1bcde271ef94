"""What the Structured Report says in words: the names of regions and warnings, provenance and definitions.

Leaves out what is said in codes: `codes`.
"""

from pydicom.sr.coding import Code

from dras_model.outputs.dicom.codes import MOST_MEANING, SCHEME, score_concept
from dras_model.results.codes import Code as Warned
from dras_model.results.study import Region, StudyResult

_PARTS = {
    "whole": "both lungs",
    "right": "right lung",
    "left": "left lung",
    "apical": "apical third",
    "middle": "middle third",
    "basal": "basal third",
    "core": "core of both lungs",
    "peel": "peel of both lungs",
    "ventral": "ventral half of both lungs",
    "dorsal": "dorsal half of both lungs",
}
_ACRONYMS = {"hu": "HU", "kvp": "kVp"}


def region_name(region: Region) -> str:
    """Return what a region is called by people."""
    if region.value.endswith("_lobe"):
        return region.value.replace("_", " ")
    side, _, part = region.value.rpartition("_")
    return f"{side} {_PARTS[part]}" if side else _PARTS[part]


def warning_code(code: Warned) -> Code:
    """Return a warning as a concept; its value is the code of `result.json`, its meaning the same in words."""
    first, *rest = [_ACRONYMS.get(word, word) for word in code.value.lower().split("_")]
    opening = first if first in _ACRONYMS.values() else first.capitalize()
    return Code(code.value, SCHEME, " ".join([opening, *rest])[:MOST_MEANING])


def provenance_lines(result: StudyResult) -> list[str]:
    """Return by what and of what the result was made, a sentence a line."""
    made, weights = result.provenance, result.provenance.weights
    return [
        f"Made by dras {made.dras_version} on {made.device}; status {result.status.replace('_', ' ')}.",
        f"Weights {weights.name} ({weights.training}), encoder SHA-256 {weights.encoder_sha256}.",
        f"Atlas {weights.atlas}, SHA-256 {weights.atlas_sha256}.",
        f"Source files, SHA-256 {made.input_sha256}.",
    ]


def definitions(result: StudyResult) -> list[str]:
    """Return what each score is and where that is published, and where each region ends, once each."""
    scores = {
        score.code: f"{score_concept(score.code).name.meaning} ({score.code}): {score.definition}."
        + (f" Reference: {score.reference}." if score.reference else "")
        for score in result.scores
        if score.kind == "measurement"
    }
    return [*scores.values(), *(f"{region_name(region)}: {what}." for region, what in result.regions.items())]
