"""The right side of `qc.png`: legend, scores, quality numbers and warnings, as far as they fit."""

import textwrap

from matplotlib.axes import Axes

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import AIRWAY
from dras_model.outputs.pictures import (
    CONTOURS,
    FAINT,
    INK,
    INVALID_PATCH,
    LAA_HU,
    LOW_ATTENUATION,
    SEVERE,
    VALID_PATCH,
    WARNING,
    write_text,
)
from dras_model.results.study import Region, StudyResult

# code, heading, unit shown, format
TABLE = (
    ("LAA-950insp", "LAA-950", "%", ".2f"),
    ("LAA-910insp", "LAA-910", "%", ".1f"),
    ("Perc15", "Perc15", "HU", ".0f"),
    ("MLD", "MLD", "HU", ".0f"),
    ("volume", "Volume", "L", ".2f"),
)
HARMONISED = tuple(column for column in TABLE if column[0] in {"LAA-950insp", "Perc15"})  # as fits a line
# Rows that fit: lungs and thirds; the rest is in `regions.csv`.
TABLE_REGIONS = (
    Region.WHOLE, Region.RIGHT, Region.LEFT, Region.APICAL, Region.MIDDLE, Region.BASAL, Region.RIGHT_APICAL,
    Region.RIGHT_MIDDLE, Region.RIGHT_BASAL, Region.LEFT_APICAL, Region.LEFT_MIDDLE, Region.LEFT_BASAL,
)  # fmt: skip


def write_panel(axes: Axes, result: StudyResult) -> None:
    """Write legend, table, quality numbers and warnings, from the top of `axes` down."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    y = _write_legend(axes, 0.985)
    y = _write_table(axes, result, y - 0.035)
    y = _write_quality(axes, result, y - 0.03)
    _write_warnings(axes, result, y - 0.03)


def _write_legend(axes: Axes, y: float) -> float:
    entries = (
        ("right", CONTOURS[RIGHT]),
        ("left", CONTOURS[LEFT]),
        ("airway", CONTOURS[AIRWAY]),
        (f"≤ {LAA_HU:.0f} HU", LOW_ATTENUATION),
        ("patch", VALID_PATCH),
        ("invalid", INVALID_PATCH),
    )
    for x, (name, colour) in zip((0.03, 0.16, 0.28, 0.43, 0.65, 0.81), entries, strict=True):
        axes.plot([x, x + 0.03], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
        write_text(axes, x + 0.04, y, name, color=INK, fontsize=8, va="center")
    return y


def _write_table(axes: Axes, result: StudyResult, y: float) -> float:
    columns = [0.42, 0.56, 0.69, 0.82, 0.99]
    for x, (_, title, unit, _) in zip(columns, TABLE, strict=True):
        write_text(axes, x, y, title, color=FAINT, fontsize=8.5, ha="right")
        write_text(axes, x, y - 0.02, unit, color=FAINT, fontsize=7.5, ha="right")
    y -= 0.028
    for region in TABLE_REGIONS:
        y -= 0.026
        indent = 0.06 if "_" in region.value else 0.03
        name = region.value.replace("_", " ")
        weight = "bold" if region is Region.WHOLE else "normal"
        write_text(
            axes, indent, y, name, color=INK if indent < 0.05 else FAINT, fontsize=9, fontweight=weight
        )
        for x, (code, _, unit, form) in zip(columns, TABLE, strict=True):
            value = result.score(code, region).value
            shown = "–" if value is None else format(value / 1000.0 if unit == "L" else value, form)
            write_text(axes, x, y, shown, color=INK, fontsize=9, ha="right", fontweight=weight)
    return y


def _write_quality(axes: Axes, result: StudyResult, y: float) -> float:
    registration, patches = result.qc.registration, result.qc.patches
    alignment = (
        f"alignment: Dice right {registration.dice_right:.2f}, left {registration.dice_left:.2f},"
        f" rotation {registration.rotation_degrees:.0f}°, coverage {100 * registration.coverage:.0f} %"
    )
    validity = (
        f"patches: {patches.n_valid} of {patches.n_patches} valid, {patches.n_outside} outside the scan,"
        f" {patches.n_little_lung} with too little lung"
    )
    for line in (*_harmonised(result), alignment, validity):
        write_text(axes, 0.03, y, line, color=FAINT, fontsize=8.5)
        y -= 0.023
    return y


def _harmonised(result: StudyResult) -> list[str]:
    """One line of what the harmonised image gives for both lungs, where there is one."""
    shown = [
        f"{title} {score.value:{form}} {unit}"
        for code, title, unit, form in HARMONISED
        for score in result.scores
        if (score.code, score.region, score.image) == (code, Region.WHOLE, "harmonised")
        and score.value is not None
    ]
    return [f"harmonised over kernel and noise: {', '.join(shown)}"] if shown else []


def _write_warnings(axes: Axes, result: StudyResult, y: float) -> None:
    shown = sorted(result.warnings, key=lambda warning: warning.severity != "severe")
    severe = any(warning.severity == "severe" for warning in shown)
    title = f"{len(shown) or 'no'} warning{'' if len(shown) == 1 else 's'}{', severe ones first' if severe else ''}"
    write_text(axes, 0.03, y, title, color=INK, fontsize=10, fontweight="bold")
    for warning in shown:
        lines = textwrap.wrap(warning.message, 68)
        if y - 0.024 - 0.021 * (len(lines) + 1) < 0.0:
            write_text(axes, 0.03, y - 0.024, "… more in result.json", color=FAINT, fontsize=8.5)
            return
        y -= 0.025
        colour = SEVERE if warning.severity == "severe" else WARNING
        write_text(axes, 0.03, y, warning.code.value, color=colour, fontsize=8.5, fontweight="bold")
        for line in lines:
            y -= 0.02
            write_text(axes, 0.03, y, line, color=INK, fontsize=8)
