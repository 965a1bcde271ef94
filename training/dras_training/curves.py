"""Draws the log of a run: losses, the accuracy of the contrast against chance, and the learning rate, by step."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.logs import read_log
from dras_training.store import not_writable

SMOOTHED = 40  # panels are read by their trend: a running mean over this part of the log, 1 / SMOOTHED
_LOCAL, _NEIGHBOURS, _BATCH, _GREY = "#1b6ca8", "#d1603d", "#2e7d4f", "#777777"


def draw_curves(run: Path, out: Path) -> None:
    """Draw the run's log so far to the picture `out`. Raises SetupRefused."""
    try:
        lines = read_log(run)
    except OSError as fault:
        raise SetupRefused(Code.RESUME_IMPOSSIBLE, name=run.name, reason="it has no log") from fault
    if not lines:
        raise SetupRefused(Code.RESUME_IMPOSSIBLE, name=run.name, reason="its log is empty")
    columns = {name: np.array([line[name] for line in lines]) for name in lines[0] if name != "eta_s"}
    if not columns["loss_neighbours"].any():  # a recipe without neighbours, whose loss is 0
        del columns["loss_neighbours"], columns["accuracy_neighbours"]
    figure = Figure(figsize=(9.0, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True)
    _losses(top, columns)
    _accuracies(bottom, columns)
    hours = (columns["time"][-1] - columns["time"][0]) / 3600
    figure.suptitle(
        f"{lines[-1]['step']} of {lines[-1]['total']} steps, {hours:.1f} h, epoch {lines[-1]['epoch']:.1f}"
    )
    try:
        figure.savefig(out, dpi=110)
    except OSError as fault:
        raise not_writable(out, fault) from fault


def _losses(axes: Axes, columns: dict[str, np.ndarray]) -> None:
    for name, label, colour in (
        ("loss_local", "local", _LOCAL),
        ("loss_neighbours", "neighbouring", _NEIGHBOURS),
    ):
        if name in columns:
            _curve(axes, columns["step"], columns[name], label=label, colour=colour)
    guess = -np.log(columns["chance"])
    axes.plot(columns["step"], _smooth(guess), "--", color=_GREY, lw=1, label="guessing (local)")
    axes.set(ylabel="InfoNCE (nats)", ylim=(0, None))
    axes.legend(loc="best", frameon=False)
    rate = axes.twinx()
    rate.plot(columns["step"], columns["learning_rate"], color=_GREY, lw=0.8, alpha=0.6)
    rate.set(ylabel="learning rate (thin line)", ylim=(0, None))


def _accuracies(axes: Axes, columns: dict[str, np.ndarray]) -> None:
    for name, label, colour in (
        ("accuracy_local", "local", _LOCAL),
        ("accuracy_neighbours", "neighbouring", _NEIGHBOURS),
    ):
        if name in columns:
            _curve(axes, columns["step"], columns[name], label=label, colour=colour)
    _curve(axes, columns["step"], columns["recognised"], label="local, of the batch alone", colour=_BATCH)
    axes.plot(columns["step"], _smooth(columns["chance"]), "--", color=_GREY, lw=1, label="guessing")
    axes.set(xlabel="step", ylabel="own key ranked first", ylim=(0, 1.02))
    axes.legend(loc="best", frameon=False)


def _curve(axes: Axes, steps: np.ndarray, values: np.ndarray, *, label: str, colour: str) -> None:
    axes.plot(steps, values, color=colour, lw=0.4, alpha=0.3)
    axes.plot(steps, _smooth(values), color=colour, lw=1.8, label=label)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the running mean, over fewer values towards the ends."""
    width = max(1, len(values) // SMOOTHED)
    weights = np.ones(width)
    counts = np.convolve(np.ones(len(values)), weights, mode="same")
    return np.asarray(np.convolve(values, weights, mode="same") / counts)
