"""Results as tables on standard output: warnings first, then the scores by region."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dras_model.results.phenotypes import HARMONISED_HEADLINE, HEADLINE
from dras_model.results.study import Inspection, Region, Score, StudyResult, StudyWarning

_FILE_WIDTH = 140
_INDENTED = {region for region in Region if "_" in region}


def print_result(result: StudyResult, *, console: Console | None = None) -> None:
    """Print what a person wants to see of a result."""
    console = console or standard_output()
    console.print(f"[bold]{escape(result.notice)}[/bold]")
    print_warnings(result.warnings, console=console)
    console.print(scores_table(result.scores))
    for line in (*_reasons(result.scores), *_estimates(result.scores)):
        console.print(line)
    patches, weights = result.qc.patches, escape(result.provenance.weights.training)
    console.print(
        f"{patches.n_valid} of {patches.n_patches} patches valid, weights: {weights},"
        f" {result.timings.get('total', 0.0):.1f} s, {result.status.replace('_', ' ')}"
    )


def print_warnings(warnings: Iterable[StudyWarning], *, console: Console) -> None:
    """Print each warning as a line."""
    for warning in warnings:
        colour = "red" if warning.severity == "severe" else "yellow"
        mark = " (severe)" if warning.severity == "severe" else ""
        console.print(Text.assemble((f"{warning.code}{mark}", colour), " ", warning.message))


def _reasons(scores: Sequence[Score]) -> list[str]:
    """Say each reason once, with the scores and in how many regions it leaves without a value.

    What the raw image withholds is not told again of the harmonised one.
    """
    regions: dict[tuple[str, str, str], list[str]] = {}
    raw = {(score.code, score.region) for score in scores if score.reason and score.image == "raw"}
    for score in scores:
        if score.reason is not None and (score.image == "raw" or (score.code, score.region) not in raw):
            regions.setdefault((score.reason, score.image, score.code), []).append(score.region.value)
    codes: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (reason, image, code), found in regions.items():
        codes.setdefault((reason, image, tuple(found)), []).append(code)
    return [
        f"{'harmonised ' if image == 'harmonised' else ''}{', '.join(names)}, {_where(found)}: no value,"
        f" {escape(reason)}"
        for (reason, image, found), names in codes.items()
    ]


def _estimates(scores: Sequence[Score]) -> list[str]:
    """Say what the heads of the bundle estimate, each with what it was fitted on and how well it did."""
    return [
        f"{score.code}: {score.value:.4g} {escape(score.unit)}; {escape(score.definition)}"
        for score in scores
        if score.kind == "model_estimate" and score.value is not None
    ]


def _where(regions: Sequence[str]) -> str:
    return regions[0].replace("_", " ") if len(regions) == 1 else f"{len(regions)} regions"


def scores_table(scores: Sequence[Score]) -> Table:
    """Return regions as rows and, as columns, the headline scores that any region has a value of."""
    headline = {"raw": HEADLINE, "harmonised": HARMONISED_HEADLINE}
    shown = [score for score in scores if score.code in headline[score.image]]
    given = {(score.code, score.image): score.unit for score in shown if score.value is not None}
    codes = list(dict.fromkeys(code for code, _ in given))
    # What is harmonised stands beside what was measured.
    units = dict(sorted(given.items(), key=lambda column: codes.index(column[0][0])))
    table = Table(
        title="Regional scores",
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("region", no_wrap=True)
    for (code, image), unit in units.items():
        table.add_column(f"{code}\n{unit}" if image == "raw" else f"{code}\n{image} {unit}", justify="right")
    values = {(score.region, score.code, score.image): score.value for score in shown}
    present = {score.region for score in shown}
    for region in Region:
        if region in present:
            name = region.value.replace("_", " ")
            cells = [_number(values.get((region, *column)), unit) for column, unit in units.items()]
            table.add_row(f"  {name}" if region in _INDENTED else name, *cells)
    return table


def print_inspection(found: Inspection, *, console: Console | None = None) -> None:
    """Print which series would be used, its geometry, and every warning."""
    console = console or standard_output()
    print_warnings(found.warnings, console=console)
    table = Table(
        title="Series", title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in ("", "Series Instance UID", "modality", "images", "reason"):
        table.add_column(heading, overflow="fold")
    for candidate in found.candidates:
        mark = "→" if candidate.chosen else ""
        uid, reason = escape(candidate.series_instance_uid), escape(candidate.reason)
        table.add_row(mark, uid, escape(candidate.modality), str(candidate.n_images), reason)
    console.print(table)
    geometry, acquisition = found.geometry, found.acquisition
    size = " × ".join(str(n) for n in geometry.size_xyz)
    spacing = " × ".join(f"{mm:.2f}" for mm in geometry.spacing_xyz_mm)
    console.print(f"{size} voxels of {spacing} mm, {geometry.orientation}")
    known = acquisition.model_dump(exclude_none=True)
    console.print(
        ", ".join(f"{name.replace('_', ' ')}: {escape(str(value))}" for name, value in known.items())
    )


def standard_output() -> Console:
    """Return where results are printed."""
    console = Console()
    # Without a terminal rich assumes 80 columns and cuts headings off; a file has room.
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.2f}" if unit in {"%", "1"} else f"{value:.1f}"
