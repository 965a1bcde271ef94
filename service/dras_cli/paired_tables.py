"""Pairs and comparisons as tables on standard output: warnings first, then the numbers."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dras_cli.tables import print_warnings, standard_output
from dras_model.results.comparison import ComparisonResult, Difference, FollowUp
from dras_model.results.pair import PairResult
from dras_model.results.study import Region

_REGIONS = (Region.WHOLE, Region.RIGHT, Region.LEFT, Region.APICAL, Region.MIDDLE, Region.BASAL)


def print_pair(result: PairResult, *, console: Console | None = None) -> None:
    """Print what a person wants to see of a pair."""
    console = console or standard_output()
    console.print(f"[bold]{escape(result.notice)}[/bold]")
    for what, warnings in (
        ("pair", result.warnings),
        ("inspiration", result.inspiration.warnings),
        ("expiration", result.expiration.warnings),
    ):
        if warnings:
            console.print(f"[bold]{what}[/bold]")
            print_warnings(warnings, console=console)
    table = _table("Both breaths", ["score", "breath", "unit", *(region.value for region in _REGIONS)])
    values = {(score.code, score.phase, score.region): score.value for score in result.scores}
    for code, phase, unit in dict.fromkeys((s.code, s.phase, s.unit) for s in result.scores):
        cells = [_number(values.get((code, phase, region))) for region in _REGIONS]
        table.add_row(code, phase, unit, *cells)
    console.print(table)
    for reason in dict.fromkeys(score.reason for score in result.scores if score.reason):
        codes = dict.fromkeys(score.code for score in result.scores if score.reason == reason)
        console.print(f"{', '.join(codes)}: no value: {escape(reason)}")
    quality = result.deformation
    console.print(
        f"registration: Dice right {quality.dice_right:.3f}, left {quality.dice_left:.3f}, similarity"
        f" {quality.similarity:.2f}, {quality.folded_percent:.2f} % folded;"
        f" {result.timings.get('total', 0.0):.1f} s, {result.status.replace('_', ' ')}"
    )


def print_comparison(result: ComparisonResult, *, console: Console | None = None) -> None:
    """Print each follow-up's warnings and its differences of both lungs."""
    console = console or standard_output()
    console.print(f"[bold]{escape(result.notice)}[/bold]")
    for number, followup in enumerate(result.followups, start=1):
        verdict = "comparable" if followup.comparable else "not comparable"
        console.print(f"[bold]follow-up {number} against the baseline: {verdict}[/bold]")
        print_warnings(followup.warnings, console=console)
        console.print(_differences(followup))
        distances = followup.embeddings
        if distances.reason is None:
            console.print(
                f"embeddings: cosine distance of {distances.n_patches} patches, median {distances.median:.4f},"
                f" 95th percentile {distances.percentile_95:.4f}"
            )


def _differences(followup: FollowUp) -> Table:
    headings = [
        "score",
        "image",
        "unit",
        "baseline",
        "follow-up",
        "difference",
        "a year",
        "repeatability",
        "warnings",
    ]
    table = _table("Both lungs", headings)
    for found in followup.differences:
        if found.region is Region.WHOLE and (found.baseline is not None or found.followup is not None):
            numbers = (found.baseline, found.followup, found.difference, found.per_year)
            table.add_row(
                found.code, found.image, found.unit, *map(_number, numbers), _repeatability(found),
                " ".join(code.value for code in found.warnings) or "none",
            )  # fmt: skip
    return table


def _repeatability(found: Difference) -> str:
    if found.within_repeatability is None:
        return "–"
    most = max(figure.limit for figure in found.repeatability)
    return f"{'within' if found.within_repeatability else 'beyond'} {most:g}"


def _table(title: str, headings: list[str]) -> Table:
    table = Table(
        title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in headings:
        numeric = heading not in ("score", "breath", "image", "unit", "repeatability", "warnings")
        table.add_column(heading, justify="right" if numeric else "left")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
