"""Differences between stored results of one person, each with what speaks against reading it as change.

No CT is needed and none is looked at. What a difference means is not said; whether it is larger than what repeated
scans of unchanged people differ by is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dras_model.results.codes import Code
from dras_model.results.comparison import (
    Compared,
    Difference,
    EmbeddingDistances,
    FollowUp,
    Repeatability,
)
from dras_model.results.study import Region, Score, StudyResult, StudyWarning
from dras_model.scores.comparability import acquisition_differences
from dras_model.scores.definitions import DEFINITIONS, LUNGS

MOST_INFLATION_PERCENT = 10.0  # rescans within a week differ by 169 mL, 3 % of 5.5 L
ADJUSTED = "Perc15-adjusted-to-baseline"
# Parameters of one score alone, or told by themselves: breath, the volume adjusted to, whose lobes.
OWN_PARAMETERS = frozenset({"phase", "reference_volume_ml", "lobes_sha256", "lung_mask_sha256"})
_SOFTWARE = "reproducibility coefficient between eight groups' software on the same 50 COPDGene scans"
_RESCAN = "mean difference of scans one week apart"
# Of both lungs; of their parts nothing is published.
REPEATABILITY: Mapping[str, tuple[tuple[float, str], ...]] = MappingProxyType(
    {
        "LAA-950insp": ((1.2, _SOFTWARE), (0.66, _RESCAN)),
        "Perc15": ((1.8, _SOFTWARE), (2.4, _RESCAN)),
        "volume": ((350.0, _SOFTWARE), (169.0, _RESCAN)),
    }
)
# What of a scan's making bears on a score, by a code of one scan that bears on it, too.
_BEARS_ON = {
    # All that rests on density: of the kernels of one acquisition, MLD differed by 17 HU and mass by 86 g.
    Code.KERNEL_DIFFERS: Code.CONTRAST_ENHANCED,
    Code.THICKNESS_DIFFERS: Code.THICK_SLICE,
    Code.RECONSTRUCTION_DIFFERS: Code.ITERATIVE_RECON,
    Code.KVP_DIFFERS: Code.KVP_NOT_120,
    Code.CONTRAST_DIFFERS: Code.CONTRAST_ENHANCED,
    Code.MIXED_SCANNER: Code.AIR_CALIBRATION,
    Code.INFLATION_DIFFERS: Code.NOT_INSPIRATION,
    Code.COMPARABILITY_UNKNOWN: Code.ACQUISITION_UNKNOWN,
}
_SENSITIVE = {definition.code: definition.sensitive_to for definition in DEFINITIONS}
_Key = tuple[str, Region, Literal["raw", "harmonised"]]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Embeddings (n, width) of a result's patches and which of them are valid (n,)."""

    embeddings: NDArray[np.float32]
    valid: NDArray[np.bool_]


def summarise(result: StudyResult) -> Compared:
    """Return what of a result decides about comparing it."""
    weights = result.provenance.weights
    lungs = result.qc.lungs
    return Compared(
        series_instance_uid=result.series_instance_uid,
        input_sha256=result.provenance.input_sha256,
        dras_version=result.provenance.dras_version,
        status=result.status,
        acquisition=result.acquisition,
        thickness_mm=max(result.acquisition.slice_thickness_mm or 0.0, *result.geometry.spacing_xyz_mm),
        volume_ml=lungs.right_ml + lungs.left_ml,
        encoder_sha256=weights.encoder_sha256,
        atlas_sha256=weights.atlas_sha256,
        training=weights.training,
        warning_codes=tuple(dict.fromkeys(warning.code for warning in result.warnings)),
    )


def compare_results(
    baseline: StudyResult, followup: StudyResult, *, interval_years: float | None = None,
    embedded: tuple[Embedded | None, Embedded | None] = (None, None),
) -> tuple[FollowUp, NDArray[np.float32] | None]:  # fmt: skip
    """Compare two results; with them the cosine distance of each patch (n,), NaN where one is invalid."""
    one, two = summarise(baseline), summarise(followup)
    scores = [{(s.code, s.region, s.image): s for s in result.scores} for result in (baseline, followup)]
    redefined = _redefined(*scores)
    distances, told = _embeddings(one, two, embedded)
    warnings = [
        *acquisition_differences(
            one.acquisition, two.acquisition, thickness_mm=(one.thickness_mm, two.thickness_mm)
        ),
        *_inflation(one, two),
        *_breath(scores[0], scores[1]),
        *_method(baseline, followup),
    ]
    if redefined:
        warnings.append(StudyWarning.of(Code.DEFINITION_DIFFERS, codes=", ".join(sorted(redefined))))
    if told.reason is not None:
        warnings.append(StudyWarning.of(Code.EMBEDDINGS_INCOMPARABLE, reason=told.reason))
    codes = [warning.code for warning in warnings]
    return FollowUp(
        result=two,
        interval_years=interval_years,
        comparable=all(warning.severity != "severe" for warning in warnings),
        warnings=tuple(warnings),
        differences=(
            *(_difference(*pair, codes, redefined, interval_years) for pair in _pairs(*scores)),
            *_adjusted(scores[0], scores[1], codes, interval_years),
        ),
        embeddings=told,
    ), distances


def cosine_distances(one: Embedded, two: Embedded) -> NDArray[np.float32]:
    """1 - cosine between the embeddings of each patch (n,), NaN where either is invalid or zero."""
    a, b = one.embeddings.astype(np.float64), two.embeddings.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    usable = one.valid & two.valid & (norms > 0)
    distances = np.full(len(a), np.nan, dtype=np.float32)
    distances[usable] = 1.0 - np.einsum("pw,pw->p", a, b)[usable] / norms[usable]
    return distances


def _pairs(
    one: Mapping[_Key, Score], two: Mapping[_Key, Score]
) -> Iterable[tuple[_Key, Score | None, Score | None]]:
    return ((key, one.get(key), two.get(key)) for key in dict.fromkeys([*one, *two]))


def _difference(
    key: _Key, one: Score | None, two: Score | None, codes: Iterable[Code], redefined: Collection[str],
    interval_years: float | None,
) -> Difference:  # fmt: skip
    code, region, image = key
    known = one or two
    values = [None if score is None else score.value for score in (one, two)]
    reason = _why_none(one, two, redefined)
    change = None if reason is not None or None in values else values[1] - values[0]  # type: ignore[operator]
    figures = _repeatability(code, region, change)
    return Difference(
        code=code,
        unit=known.unit if known is not None else "",
        region=region,
        image=image,
        baseline=values[0],
        followup=values[1],
        difference=change,
        per_year=change / interval_years if change is not None and interval_years else None,
        within_repeatability=any(figure.within for figure in figures) if figures else None,
        repeatability=figures,
        warnings=_bearing(code, image, codes),
        reason=reason,
    )


def _why_none(one: Score | None, two: Score | None, redefined: Collection[str]) -> str | None:
    for which, score in (("baseline", one), ("follow-up", two)):
        if score is None:
            return f"the {which} does not have it"
        if score.value is None:
            return f"the {which} has no value: {score.reason}"
    if one is not None and one.code in redefined:
        return "its definition differs between the results"
    return None


def _redefined(one: Mapping[_Key, Score], two: Mapping[_Key, Score]) -> set[str]:
    """Return the codes that do not mean the same in both results."""
    return {
        key[0]
        for key in one.keys() & two.keys()
        if any(
            getattr(one[key], name) != getattr(two[key], name)
            for name in ("definition", "unit", "threshold", "comparator", "kind")
        )
    }


def _repeatability(code: str, region: Region, change: float | None) -> tuple[Repeatability, ...]:
    if change is None or region is not Region.WHOLE:
        return ()
    return tuple(
        Repeatability(limit=limit, source=source, within=abs(change) <= limit)
        for limit, source in REPEATABILITY.get(code, ())
    )


def _bearing(code: str, image: str, codes: Iterable[Code]) -> tuple[Code, ...]:
    """Return which of the pair's warnings bear on a score; on one that nobody knows, all."""
    sensitive = _SENSITIVE.get(code.replace(ADJUSTED, "Perc15"))
    told = []
    for warning in dict.fromkeys(codes):
        if warning is Code.EMBEDDINGS_INCOMPARABLE or (
            code == ADJUSTED and warning is Code.INFLATION_DIFFERS  # what it is adjusted for
        ):
            continue
        if warning is Code.KERNEL_DIFFERS and image == "harmonised":
            continue
        of_scan = _BEARS_ON.get(warning)
        if sensitive is None or of_scan is None or of_scan in sensitive:
            told.append(warning)
    return tuple(told)


def _adjusted(
    one: Mapping[_Key, Score], two: Mapping[_Key, Score], codes: Iterable[Code], interval_years: float | None
) -> Iterable[Difference]:
    """Perc15 as a density, the follow-up's brought to the baseline's volume (sponge model; Shaker, ERJ 2012)."""
    for region in sorted(LUNGS):
        keys: list[_Key] = [(code, region, "raw") for code in ("Perc15", "volume")]
        values = [
            None if (s := scores.get(key)) is None else s.value for scores in (one, two) for key in keys
        ]
        perc_1, ml_1, perc_2, ml_2 = values
        reason: str | None = "Perc15 or volume is not given of both"
        before = after = change = None
        if perc_1 is not None and ml_1 and perc_2 is not None and ml_2 is not None:
            before, after = perc_1 + 1000.0, (perc_2 + 1000.0) * ml_2 / ml_1
            reason, change = None, after - before
        yield Difference(
            code=ADJUSTED,
            unit="g/L",
            region=region,
            image="raw",
            baseline=before,
            followup=after,
            difference=change,
            per_year=change / interval_years if change is not None and interval_years else None,
            within_repeatability=None,
            repeatability=(),
            warnings=_bearing(ADJUSTED, "raw", codes),
            reason=reason,
        )


def _inflation(one: Compared, two: Compared) -> list[StudyWarning]:
    percent = 100.0 * (two.volume_ml / one.volume_ml - 1.0)
    if abs(percent) <= MOST_INFLATION_PERCENT:
        return []
    return [StudyWarning.of(Code.INFLATION_DIFFERS, percent=percent, limit_percent=MOST_INFLATION_PERCENT)]


def _breath(*scores: Mapping[_Key, Score]) -> list[StudyWarning]:
    """Say where one scan is known to be at inspiration and the other at expiration: nothing compares then."""
    phases = [{score.phase for score in found.values()} - {"unknown"} for found in scores]
    if all(phases) and phases[0].isdisjoint(phases[1]):
        return [
            StudyWarning.of(
                Code.METHOD_DIFFERS, severe=True, evidence="one at inspiration, one at expiration"
            )
        ]
    return []


def _method(baseline: StudyResult, followup: StudyResult) -> list[StudyWarning]:
    """Say where the results were made by another version, or with parameters that bear on every score."""
    one, two = baseline.provenance, followup.provenance
    told = []
    if one.dras_version != two.dras_version:
        told.append(f"versions {one.dras_version} and {two.dras_version}")
    names = sorted(
        name
        for name in one.parameters.keys() | two.parameters.keys()
        if name not in OWN_PARAMETERS and one.parameters.get(name) != two.parameters.get(name)
    )
    if names:
        told.append(f"other {', '.join(names)}")
    return [StudyWarning.of(Code.METHOD_DIFFERS, evidence="; ".join(told))] if told else []


def _embeddings(
    one: Compared, two: Compared, embedded: tuple[Embedded | None, Embedded | None]
) -> tuple[NDArray[np.float32] | None, EmbeddingDistances]:
    reason, first, second = None, *embedded
    if one.encoder_sha256 != two.encoder_sha256:
        reason = "they were made by different encoders"
    elif one.atlas_sha256 != two.atlas_sha256:
        reason = "they were made with different atlases"
    elif first is None or second is None:
        reason = "a result was given without its features.npz"
    elif first.embeddings.shape != second.embeddings.shape:
        reason = "their numbers of patches differ"
    if reason is not None or first is None or second is None:
        return None, EmbeddingDistances(
            n_patches=0, median=None, percentile_95=None, most=None, reason=reason
        )
    distances = cosine_distances(first, second)
    found = distances[np.isfinite(distances)]
    if found.size == 0:
        reason = "no patch is valid in both"
        return None, EmbeddingDistances(
            n_patches=0, median=None, percentile_95=None, most=None, reason=reason
        )
    return distances, EmbeddingDistances(
        n_patches=int(found.size),
        median=float(np.median(found)),
        percentile_95=float(np.percentile(found, 95.0)),
        most=float(found.max()),
    )
