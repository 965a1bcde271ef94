"""A label-efficiency curve as files: a table, the same as JSON, and a picture of it."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from dras_training.downstream.efficiency import ARMS, Arm, Point
from dras_training.store import not_writable

TABLE, JSON, PICTURE = "curve.csv", "curve.json", "curve.png"
_LOOKS: dict[Arm, tuple[str, str, str]] = {
    "pretrained": ("trained on from the bundle", "#1b6ca8", "o-"),
    "scratch": ("the same from scratch", "#d1603d", "s-"),
    "frozen": ("probe of the bundle as it is", "#777777", "^--"),
}
_APART = 0.02  # of the number of labels, between arms, so that their bars are seen beside each other


def write_curve(points: Sequence[Point], place: Path, *, outcome: str, n_judged: int) -> None:
    """Write TABLE, JSON and PICTURE into the folder `place`. Raises SetupRefused OUTPUT_NOT_WRITABLE."""
    rows = [point.told() for point in points]
    flat = [{**row, **_spread(row.pop("lead"))} for row in [dict(row) for row in rows]]
    try:
        with (place / TABLE).open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, flat[0], lineterminator="\n")
            table.writeheader()
            table.writerows(flat)
        told = {"outcome": outcome, "n_judged": n_judged, "points": rows}
        (place / JSON).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
        _figure(points, outcome=outcome, n_judged=n_judged).savefig(place / PICTURE, dpi=110)
    except OSError as fault:
        raise not_writable(place, fault) from fault


def _spread(lead: dict[str, float] | None) -> dict[str, float | str]:
    return {f"lead_{part}": "" if lead is None else lead[part] for part in ("value", "low", "high")}


def _figure(points: Sequence[Point], *, outcome: str, n_judged: int) -> Figure:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for shift, arm in zip((-1, 0, 1), ARMS, strict=True):
        mine = [point for point in points if point.arm == arm]
        label, colour, style = _LOOKS[arm]
        values = [point.performance.value for point in mine]
        below = [point.performance.value - point.performance.low for point in mine]
        above = [point.performance.high - point.performance.value for point in mine]
        at = [point.n_labels * (1.0 + shift * _APART) for point in mine]
        axes.errorbar(
            at, values, yerr=[below, above], fmt=style, color=colour, label=label, capsize=3, lw=1.4, ms=5
        )
    axes.set_xscale("log")
    axes.set_xticks(sorted({point.n_labels for point in points}))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("people whose outcome is known")
    axes.set_ylabel(f"{points[0].measure} of {n_judged} other people")
    if points[0].measure == "R²":
        axes.set_ylim(bottom=max(-1.5, axes.get_ylim()[0]), top=1.0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="best")
    axes.set_title(outcome)
    return figure
