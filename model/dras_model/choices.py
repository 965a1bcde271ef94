"""What a caller may choose about one study, how a result tells it, and how the choice is had back from a result.

A result tells no path: of a file it tells the digest, so that a run is repeated with the file that has it. Leaves
out weights and atlas, which a result names by their own digests.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from dras_model.imaging.given_mask import sha256_of
from dras_model.imaging.segmenters import source_sha256
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import Option, Provenance
from dras_model.scores.acquisition import AskedPhase
from dras_model.scores.harmonisation import SETTINGS as HARMONISATION
from dras_model.scores.limits import Limits
from dras_model.scores.scoring import ScoringChoices

GIVEN_MASK = "given mask"
_LIMIT = "limits."
_RANGE = re.compile(r"(\S+) to (\S+)")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a caller may choose about one study; `segmenter` names another one than ours, `module:function`.

    `lung_mask` is a file that takes the place of any segmenter; `lung_labels` are its right and left lung. `dicom`
    also makes DICOM objects, for which the headers' patient and study are kept until they are written; `view` a
    small copy of the scan to look at.
    """

    series_uid: str | None = None
    segmenter: str | None = None
    scoring: ScoringChoices = field(default_factory=ScoringChoices)
    lung_mask: Path | None = None
    lung_labels: tuple[int, int] | None = None
    dicom: bool = False
    view: bool = False

    def parameters(self) -> dict[str, str | int | float]:
        """Every parameter that a score or an embedding rests on, as a provenance lists it."""
        return {**self._lung_parameters(), **self._scoring_parameters()}

    def options(self) -> dict[str, Option]:
        """What was asked for, defaults included; files are told in `parameters`, by their digests."""
        labels = None if self.lung_labels is None else "{} {}".format(*self.lung_labels)
        return {
            "series_uid": self.series_uid,
            "segmenter": self.segmenter,
            "lung_labels": labels,
            "phase": self.scoring.phase,
            "reference_volume_ml": self.scoring.reference_volume_ml,
            "harmonise": self.scoring.harmonise,
        }

    def _lung_parameters(self) -> dict[str, str | int | float]:
        """Whose lungs were measured: ours, a segmenter's by name and code, or a mask's by its digest."""
        if self.lung_mask is not None:
            return {"segmenter": GIVEN_MASK, "lung_mask_sha256": sha256_of(self.lung_mask)}
        if self.segmenter is None:
            return {"segmenter": "builtin"}
        digest = source_sha256(self.segmenter)
        told: dict[str, str | int | float] = {"segmenter": self.segmenter}
        return told if digest is None else told | {"segmenter_sha256": digest}

    def _scoring_parameters(self) -> dict[str, str | int | float]:
        choices = self.scoring
        parameters = {"phase": choices.phase, **choices.limits.parameters()}
        if choices.harmonise:
            parameters |= HARMONISATION
        if choices.reference_volume_ml is not None:
            parameters["reference_volume_ml"] = choices.reference_volume_ml
        if choices.lobes is not None:
            parameters["lobes_sha256"] = sha256_of(choices.lobes)
        return parameters


def choices_of(
    provenance: Provenance, *, lung_mask: Path | None = None, lobes: Path | None = None
) -> Choices:
    """Return what was chosen in the run of `provenance`; masks that it used are given again.

    Raises SetupRefused REPEAT_IMPOSSIBLE where a mask or the segmenter is not the one of the run, or where the
    result is of schema 1.0, which does not tell what was asked for.
    """
    asked, parameters = provenance.options, provenance.parameters
    if not asked:
        raise _impossible("it does not tell what was asked for, as results of schema 1.0 do not")
    _require_same(parameters, "lung_mask_sha256", lung_mask, "lung mask")
    _require_same(parameters, "lobes_sha256", lobes, "lobe mask")
    segmenter = _text(asked["segmenter"])
    if segmenter is not None and parameters.get("segmenter_sha256") != source_sha256(segmenter):
        raise _impossible(f"the segmenter {segmenter} is not the code it was")
    labels = [int(label) for label in str(asked["lung_labels"] or "").split()]
    volume_ml = asked["reference_volume_ml"]
    scoring = ScoringChoices(
        phase=_phase(asked["phase"]),
        reference_volume_ml=None if volume_ml is None else float(volume_ml),
        lobes=lobes,
        limits=_limits(parameters),
        harmonise=bool(asked["harmonise"]),
    )
    return Choices(
        series_uid=_text(asked["series_uid"]),
        segmenter=segmenter,
        scoring=scoring,
        lung_mask=lung_mask,
        lung_labels=(labels[0], labels[1]) if labels else None,
    )


def _require_same(parameters: Mapping[str, object], name: str, given: Path | None, what: str) -> None:
    told = parameters.get(name)
    if told is not None and given is None:
        raise _impossible(f"it used a {what}, which must be given again")
    if given is not None and told != sha256_of(given):
        raise _impossible(f"the {what} is not the one it used")


def _limits(parameters: Mapping[str, object]) -> Limits:
    told: dict[str, Any] = {}
    for name, value in parameters.items():
        if name.startswith(_LIMIT):
            pair = _RANGE.fullmatch(value) if isinstance(value, str) else None
            told[name.removeprefix(_LIMIT)] = value if pair is None else (float(pair[1]), float(pair[2]))
    try:
        return Limits.model_validate(told)
    except ValueError as fault:
        raise _impossible("it was made with limits that this version does not have") from fault


def _phase(value: Option) -> AskedPhase:
    for phase in get_args(AskedPhase):
        if phase == value:
            found: AskedPhase = phase
            return found
    raise _impossible("it was made for a phase that this version does not know")


def _text(value: Option) -> str | None:
    return None if value is None else str(value)


def _impossible(reason: str) -> SetupRefused:
    return SetupRefused(Code.REPEAT_IMPOSSIBLE, reason=reason)
