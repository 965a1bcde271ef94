"""The scores of the histogram's thin tail a second time, on the harmonised image, beside the raw ones.

Raw values are never replaced. Where the scan is beyond what the method was validated for, the harmonised values
are null with the reason, and a warning says so; where they are given and doubtful, they carry that warning.
"""

from dataclasses import replace

from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.study import HarmonisationQuality, Score, StudyWarning
from dras_model.scores.definitions import DEFINITIONS
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.harmonisation import METHOD, Harmonised
from dras_model.scores.regions import Cells

# What the harmonised image answers: these warnings bear on the raw scores alone.
ANSWERED = frozenset({Code.SHARP_KERNEL, Code.UNKNOWN_KERNEL, Code.HIGH_NOISE, Code.LOW_DOSE})
REFERENCE = "harmonised after Gallardo-Estrella et al., Eur Radiol 2016"
HARMONISED = tuple(definition for definition in DEFINITIONS if definition.thin_tail)


def harmonised_scores(
    volume: Volume, found: Harmonised, cells: Cells, *, conditions: Conditions
) -> tuple[tuple[Score, ...], tuple[StudyWarning, ...], HarmonisationQuality | None]:
    """Return the scores of what was `found` in a scan, what limits them, and what the method saw."""
    doubt = found.limit or found.caution
    warnings = () if doubt is None else (_limited(doubt),)
    codes = [code for code in conditions.warnings if code not in ANSWERED]
    of_image = replace(conditions, warnings=tuple(codes))
    image = volume if found.lungs is None else found.lungs
    scores = measure(image, cells, conditions=of_image, definitions=HARMONISED, image="harmonised")
    own = tuple(warning.code for warning in warnings)
    return tuple(_told(score, found.limit, own) for score in scores), warnings, found.quality


def _limited(limit: str) -> StudyWarning:
    return StudyWarning.of(Code.HARMONISATION_LIMITED, evidence=limit)


def _told(score: Score, limit: str | None, codes: tuple[Code, ...]) -> Score:
    """Name the method in a score; withhold its value where there is a `limit`."""
    update: dict[str, object] = {
        "definition": f"{score.definition}; of the image harmonised by {METHOD}",
        "reference": f"{score.reference}; {REFERENCE}",
        "warnings": (*score.warnings, *codes),
    }
    if limit is not None and score.value is not None:
        update |= {"value": None, "details": {}, "reason": f"not harmonised: {limit}"}
    return score.model_copy(update=update)
