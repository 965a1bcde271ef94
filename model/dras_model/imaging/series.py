"""Files become candidates, ranked with reasons, and one series is chosen.

The choice is deterministic and always explained; the caller may name a series instead. Reading the
pixels of the chosen series is `pixels`' business.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dras_model.imaging.dicom_walk import DamagedFile
from dras_model.imaging.kernels import Sharpness, sharpness
from dras_model.imaging.slices import Slice, quiet_pydicom, read_slices
from dras_model.imaging.stack import Stack, build_stack
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import Candidate, StudyWarning

_SHARPNESS_RANK = {Sharpness.SMOOTH: 0, Sharpness.UNKNOWN: 1, Sharpness.SHARP: 2}
FULL_THORAX_MM = 220.0  # a stack of at least this length is not preferred for being longer still
ALIKE_MM = 20.0  # lengths that differ by less leave the choice to kernel and thickness
MOST_LISTED = 8  # patients, and series of each, that a refusal lists
_UID = re.compile(r"[0-9.]{1,64}")  # PS3.5 9.1; anything else may hold a name
_NOT_A_SCAN = ("LOCALIZER", "SCREEN SAVE", "DOSE", "MIP", "MINIP", "PROJECTION IMAGE")


@dataclass(frozen=True, slots=True, eq=False)
class ChosenSeries:
    """The series that is used, the others with their reasons, and what was noticed on the way."""

    uid: str
    stack: Stack
    candidates: tuple[Candidate, ...]
    warnings: tuple[StudyWarning, ...]


def choose_series(files: Sequence[Path], *, series_uid: str | None = None) -> ChosenSeries:
    """Read all headers, group by series, rank, and build the stack of the best (or the named) one.

    Raises StudyRefused: NOT_DICOM, MALFORMED, NO_CT_SERIES, SERIES_NOT_FOUND, MIXED_PATIENT,
    DUPLICATE_CONFLICT, and whatever the largest CT series was refused with where none is usable.
    """
    with quiet_pydicom():
        per_file = [_headers(file) for file in files]
    if damaged := [found for found in per_file if isinstance(found, DamagedFile)]:
        whole = not all(fault.truncated for fault in damaged)
        raise StudyRefused(Code.MALFORMED if whole else Code.TRUNCATED, n_files=len(damaged))
    slices = [item for found in per_file if isinstance(found, list) for item in found]
    if not slices:
        raise StudyRefused(Code.NOT_DICOM, n_files=len(files))
    n_ignored = sum(not found for found in per_file)
    groups: dict[str, list[Slice]] = {}
    for item in slices:
        groups.setdefault(item.series_uid, []).append(item)
    if series_uid is not None and series_uid not in groups:
        raise StudyRefused(Code.SERIES_NOT_FOUND, n_series=len(groups))
    wanted = groups if series_uid is None else {series_uid: groups[series_uid]}
    _refuse_mixed_patients(wanted)
    return _best(groups, wanted, n_ignored)


def _headers(path: Path) -> list[Slice] | DamagedFile:
    """Slices of a file, none where it is no DICOM image; what is wrong with it where it is damaged."""
    try:
        return read_slices(path)
    except DamagedFile as fault:
        return fault


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """One series with its stack, or with why it has none."""

    uid: str
    slices: list[Slice]
    stack: Stack | None
    refusal: StudyRefused | None
    reason: str
    n_set_aside: int = 0

    @property
    def rank(self) -> tuple[object, ...]:
        """Sort key, best first: coverage, original, kernel, slice step, number, then the UID."""
        if self.stack is None:
            return (1, len(self.slices), self.uid)
        first, shape, spacing = self.stack.slices[0], self.stack.native.shape, self.stack.native.spacing_mm
        extent_mm = min(shape[0] * spacing[0], FULL_THORAX_MM)
        kernel = sharpness(first.acquisition.manufacturer, first.acquisition.kernel)
        return (
            0,
            -round(extent_mm / ALIKE_MM),
            "ORIGINAL" not in first.image_type,
            _SHARPNESS_RANK[kernel],
            round(spacing[0], 3),
            -shape[0],
            self.uid,
        )


def _best(groups: dict[str, list[Slice]], wanted: dict[str, list[Slice]], n_ignored: int) -> ChosenSeries:
    judged = sorted((_judge(uid, group) for uid, group in wanted.items()), key=lambda item: item.rank)
    best = judged[0]
    if best.stack is None:
        _refuse(judged, groups)
        raise StudyRefused(Code.NO_CT_SERIES, n_series=len(groups), modalities="", reason=best.reason)
    left = [uid for uid in groups if uid not in wanted]
    candidates = [_candidate(item, best) for item in judged]
    candidates += [_left(uid, groups[uid]) for uid in sorted(left)]
    left_out = {
        "no DICOM image": n_ignored,
        "localizers or repeats": best.n_set_aside,
        **best.stack.left_out,
    }
    warnings = list(best.stack.warnings)
    if total := sum(left_out.values()):
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        warnings.append(StudyWarning.of(Code.FILES_IGNORED, n_ignored=total, reasons=reasons))
    return ChosenSeries(best.uid, best.stack, tuple(candidates), tuple(warnings))


def _judge(uid: str, slices: list[Slice]) -> _Judged:
    if reason := _not_a_scan(slices):
        return _Judged(uid, slices, None, None, reason)
    try:
        scans = _unique([item for item in slices if item.is_ct and not _marked(item)])
        stack = build_stack(scans)
    except StudyRefused as refusal:
        return _Judged(uid, slices, None, refusal, str(refusal))
    return _Judged(uid, slices, stack, None, _describe(stack), len(slices) - len(scans))


def _not_a_scan(slices: Sequence[Slice]) -> str | None:
    """Say why a series is no CT scan at all, or None where it may be one."""
    if not any(item.is_ct for item in slices):
        return f"modality {slices[0].modality or 'unknown'}, not a CT image"
    if all(_marked(item) for item in slices if item.is_ct):
        return "a localizer, projection or secondary capture, not a reconstruction"
    return None


def _marked(item: Slice) -> bool:
    return item.burned_in or any(mark in value for value in item.image_type for mark in _NOT_A_SCAN)


def _unique(slices: Sequence[Slice]) -> list[Slice]:
    """Drop files that repeat an SOP instance byte for byte; refuse one UID with two contents."""
    first: dict[str, Path] = {}
    repeats: set[Path] = set()
    conflicts = 0
    for item in slices:
        known = first.setdefault(item.uid or str(item.path), item.path)
        if known != item.path and item.path not in repeats:
            conflicts += known.read_bytes() != item.path.read_bytes()
            repeats.add(item.path)
    if conflicts:
        raise StudyRefused(Code.DUPLICATE_CONFLICT, n_duplicates=conflicts)
    return [item for item in slices if item.path not in repeats]


def _describe(stack: Stack) -> str:
    z, y, x = stack.native.shape
    step_mm = stack.native.spacing_mm[0]
    kernel = stack.slices[0].acquisition.kernel or "unknown"
    return f"{z} slices of {x} x {y} over {z * step_mm:.0f} mm, step {step_mm:.2f} mm, kernel {kernel}"


def _candidate(item: _Judged, best: _Judged) -> Candidate:
    chosen = item is best
    verdict = "best of the usable series: " if chosen else "usable, ranked lower: "
    return Candidate(
        series_instance_uid=item.uid,
        modality=item.slices[0].modality or "unknown",
        n_images=len(item.slices),
        chosen=chosen,
        reason=(verdict if item.stack is not None else "") + item.reason,
    )


def _left(uid: str, slices: Sequence[Slice]) -> Candidate:
    return Candidate(
        series_instance_uid=uid,
        modality=slices[0].modality or "unknown",
        n_images=len(slices),
        chosen=False,
        reason="another series was named",
    )


def _refuse(judged: Sequence[_Judged], groups: dict[str, list[Slice]]) -> None:
    """Raise the refusal of the largest CT series, or NO_CT_SERIES where there is none."""
    with_refusal = [item for item in judged if item.refusal is not None]
    if with_refusal:
        largest = max(with_refusal, key=lambda item: len(item.slices))
        if largest.refusal is not None:
            raise largest.refusal
    modalities = sorted({group[0].modality or "unknown" for group in groups.values()})
    raise StudyRefused(
        Code.NO_CT_SERIES,
        n_series=len(groups),
        modalities=", ".join(modalities),
        reason=judged[0].reason,
    )


def _refuse_mixed_patients(groups: dict[str, list[Slice]]) -> None:
    """Two patients are never ranked against each other, under one study UID or under several.

    The refusal lists the series by patient, told apart by a number, so that one of them can be named.
    """
    by_patient: dict[str, list[str]] = {}
    for uid, group in sorted(groups.items()):
        for patient in sorted({item.patient_key for item in group if item.is_ct and item.patient_key}):
            named = uid if _UID.fullmatch(uid) else "a series without a valid UID"
            by_patient.setdefault(patient, []).append(f"{named} with {len(group)} images")
    if len(by_patient) < 2:
        return
    listed = [
        f"patient {number}: {', '.join(series[:MOST_LISTED])}"
        for number, series in enumerate(list(by_patient.values())[:MOST_LISTED], start=1)
    ]
    raise StudyRefused(Code.MIXED_PATIENT, n_patients=len(by_patient), series="; ".join(listed))
