"""`prm.png`: both breaths in one place, the response map over them, and where the voxels lie in the plane of both.

Radiological convention: the patient's right is on the viewer's left. What is drawn of the inspiration is what the
registration laid onto the expiration, so that a bad one is seen.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dras_model.imaging.atlas import RIGHT
from dras_model.imaging.box import Box
from dras_model.imaging.deformable import Deformation, Scan, cropped
from dras_model.imaging.volume import Grid
from dras_model.outputs.pictures import BACKGROUND, FAINT, INK, SEVERE, WARNING, LungPlanes, write_text
from dras_model.results.pair import PairResult, ResponseClass
from dras_model.results.study import NOTICE, Region

COLOURS: Mapping[ResponseClass, str] = MappingProxyType(
    {
        ResponseClass.NORMAL: "#3fb950",
        ResponseClass.SMALL_AIRWAYS: "#ffd33d",
        ResponseClass.EMPHYSEMA: "#ff4d6d",
        ResponseClass.EMPTYING: "#b388ff",
        ResponseClass.UNCLASSIFIED: "#6e7681",
    }
)
NAMES: Mapping[ResponseClass, str] = MappingProxyType(
    {
        ResponseClass.NORMAL: "normal",
        ResponseClass.SMALL_AIRWAYS: "fSAD",
        ResponseClass.EMPHYSEMA: "emphysema",
        ResponseClass.EMPTYING: "emptying",
        ResponseClass.UNCLASSIFIED: "not classified",
    }
)
WINDOW_HU = (-1050.0, -350.0)
JOINT_STRIDE = 4  # of the voxels, along each axis, whose densities are plotted against each other
JOINT_HU = np.arange(-1024.0, -499.0, 6.0)
LINES_HU = (-950.0, -856.0)  # at inspiration, at expiration
ROWS = (
    ("E/I-volume", "E/I volume", "", ".2f"),
    ("E/I-MLD", "E/I MLD", "", ".2f"),
    ("PRM-normal", "normal", "%", ".1f"),
    ("PRM-fSAD", "fSAD", "%", ".1f"),
    ("PRM-emphysema", "emphysema", "%", ".1f"),
    ("PRM-emptying", "emptying", "%", ".1f"),
    ("LAA-856exp", "LAA-856exp", "%", ".1f"),
)
COLUMNS = (Region.WHOLE, Region.RIGHT, Region.LEFT, Region.APICAL, Region.MIDDLE, Region.BASAL)


@dataclass(frozen=True, slots=True, eq=False)
class PairImages:
    """What is drawn; `classes` (z, y, x) uint8 lie on the grid of the expiration, of orientation LAS."""

    inspiration: Scan
    expiration: Scan
    classes: NDArray[np.uint8]
    deformation: Deformation

    def laid(self, grid: Grid, *, beyond: float) -> NDArray[np.float32]:
        """HU of the inspiration at the voxels of a grid of the expiration."""
        return self.deformation.warp(self.inspiration.volume, grid, beyond=beyond)


def draw_prm(path: Path, result: PairResult, images: PairImages) -> None:
    """Draw the picture as a file; ValueError where the grid is not LAS, on which sides rest."""
    planes = LungPlanes.of(images.expiration.lungs)
    box = planes.box()
    figure = Figure(figsize=(15.0, 10.4), dpi=110, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3, 4, width_ratios=(1.05, 0.9, 1.0, 1.35), left=0.012, right=0.955, top=0.91, bottom=0.02, wspace=0.05,
        hspace=0.08,
    )  # fmt: skip
    for column, (title, axis, index) in enumerate(_sections(planes)):
        places = [figure.add_subplot(grid[row, column]) for row in range(3)]
        _draw_section(places, images, title=title, axis=axis, index=index, box=box)
    _draw_joint(figure.add_subplot(grid[0, 3]), images)
    panel = figure.add_subplot(grid[1:, 3])
    _write_panel(panel, result)
    write_text(
        figure,
        0.012,
        0.965,
        "Inspiration laid onto expiration, and the parametric response map",
        color=INK,
        fontsize=15,
        va="center",
    )
    write_text(figure, 0.955, 0.965, NOTICE, color=INK, fontsize=11, ha="right", va="center")
    figure.savefig(path, facecolor=BACKGROUND)


def _sections(planes: LungPlanes) -> list[tuple[str, int, int]]:
    """Title, axis and plane of the coronal and sagittal section through most lung, and of the middle axial one."""
    return [
        ("coronal", 1, planes.fullest(1)),
        ("sagittal, right lung", 2, planes.fullest(2, RIGHT)),
        ("axial, middle", 0, sum(planes.ends()) // 2),
    ]


def _draw_section(
    places: list[Axes], images: PairImages, *, title: str, axis: int, index: int, box: Box
) -> None:
    expiration = images.expiration.volume
    part = tuple(slice(index, index + 1) if other == axis else box[other] for other in range(3))
    plane = (part[0], part[1], part[2])
    laid = images.laid(cropped(expiration.grid, plane), beyond=-1000.0)
    exhaled = expiration.hu[plane]
    rows, columns = (other for other in range(3) if other != axis)
    aspect = expiration.grid.spacing_mm[rows] / expiration.grid.spacing_mm[columns]
    shown = images.classes[plane].squeeze(axis)
    colours = ListedColormap(list(COLOURS.values()))
    for place, image, what in (
        (places[0], laid, "inspiration, laid on"),
        (places[1], exhaled, "expiration"),
        (places[2], exhaled, "response map"),
    ):
        place.imshow(
            image.squeeze(axis),
            cmap="gray",
            vmin=WINDOW_HU[0],
            vmax=WINDOW_HU[1],
            origin="lower",
            aspect=aspect,
        )
        place.set_axis_off()
        place.set_anchor("N")
        place.set_title(f"{title}: {what}", color=FAINT, fontsize=9.5, loc="left", pad=3, parse_math=False)
        if axis == 2:
            place.invert_xaxis()
    places[2].imshow(
        np.ma.masked_equal(shown, 0), cmap=colours, vmin=0.5, vmax=len(COLOURS) + 0.5, origin="lower",
        aspect=aspect, interpolation="nearest", alpha=0.85,
    )  # fmt: skip


def _draw_joint(axes: Axes, images: PairImages) -> None:
    """Plot how many voxels have each pair of densities."""
    expiration = images.expiration.volume
    stride = (slice(None, None, JOINT_STRIDE),) * 3
    affine = expiration.grid.affine.copy()
    affine[:3, :3] *= JOINT_STRIDE
    few = images.classes[stride]
    inhaled = images.laid(Grid((few.shape[0], few.shape[1], few.shape[2]), affine), beyond=0.0)
    used = (few > 0) & (few != ResponseClass.UNCLASSIFIED)
    counts, _, _ = np.histogram2d(expiration.hu[stride][used], inhaled[used], bins=(JOINT_HU, JOINT_HU))
    extent = (JOINT_HU[0], JOINT_HU[-1], JOINT_HU[0], JOINT_HU[-1])
    axes.set_facecolor("#161b22")
    axes.imshow(
        np.ma.masked_equal(counts, 0), origin="lower", extent=extent, aspect="auto", cmap="viridis",
        norm=LogNorm(1, max(float(counts.max()), 2.0)),
    )  # fmt: skip
    axes.axvline(LINES_HU[0], color=INK, linewidth=0.9)
    axes.axhline(LINES_HU[1], color=INK, linewidth=0.9)
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.tick_params(colors=FAINT, labelsize=8)
    axes.set_xlabel("HU at inspiration", color=FAINT, fontsize=8.5)
    axes.set_ylabel("HU at expiration", color=FAINT, fontsize=8.5)
    axes.set_title(
        "voxels by density in both breaths, unfiltered", color=FAINT, fontsize=9.5, loc="left", pad=3
    )
    for x, y, label in (
        (0.97, 0.96, ResponseClass.NORMAL), (0.97, 0.06, ResponseClass.SMALL_AIRWAYS),
        (0.02, 0.2, ResponseClass.EMPHYSEMA), (0.02, 0.96, ResponseClass.EMPTYING),
    ):  # fmt: skip
        side = "right" if x > 0.5 else "left"
        axes.text(
            x,
            y,
            NAMES[label],
            color=COLOURS[label],
            fontsize=9,
            ha=side,
            va="center",
            transform=axes.transAxes,
        )


def _write_panel(axes: Axes, result: PairResult) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for place, (label, colour) in enumerate(COLOURS.items()):
        x, y = 0.02 + 0.33 * (place % 3), 0.93 - 0.035 * (place // 3)
        axes.plot([x, x + 0.03], [y, y], color=colour, linewidth=5, solid_capstyle="butt")
        write_text(axes, x + 0.045, y, NAMES[label], color=INK, fontsize=9, va="center")
    y = _write_table(axes, result, 0.84)
    quality = result.deformation
    dice = f"Dice right {quality.dice_right:.3f}, left {quality.dice_left:.3f}"
    volumes = f"Jacobian {quality.jacobian_least:.2f} to {quality.jacobian_most:.2f}"
    shift = f"shift {quality.shift_mean_mm:.0f} mm, at most {quality.shift_most_mm:.0f} mm"
    for line in (
        f"registration: {dice}, similarity {quality.similarity:.2f}",
        f"{volumes}, {quality.folded_percent:.2f} % folded; {shift}",
    ):
        y -= 0.032
        write_text(axes, 0.02, y, line, color=FAINT, fontsize=8.5)
    _write_warnings(axes, result, y - 0.05)


def _write_table(axes: Axes, result: PairResult, y: float) -> float:
    places = [0.38, 0.5, 0.62, 0.75, 0.87, 0.99]
    scores = {(score.code, score.region): score.value for score in result.scores}
    for x, region in zip(places, COLUMNS, strict=True):
        write_text(axes, x, y, region.value, color=FAINT, fontsize=8.5, ha="right")
    for code, name, unit, form in ROWS:
        y -= 0.036
        write_text(axes, 0.02, y, f"{name} {unit}", color=INK, fontsize=9)
        for x, region in zip(places, COLUMNS, strict=True):
            value = scores.get((code, region))
            write_text(
                axes, x, y, "–" if value is None else format(value, form), color=INK, fontsize=9, ha="right"
            )
    return y


def _write_warnings(axes: Axes, result: PairResult, y: float) -> None:
    told = [("pair", warning) for warning in result.warnings]
    told += [("inspiration", warning) for warning in result.inspiration.warnings]
    told += [("expiration", warning) for warning in result.expiration.warnings]
    told.sort(key=lambda entry: entry[1].severity != "severe")
    write_text(
        axes,
        0.02,
        y,
        f"{len(told) or 'no'} warning{'' if len(told) == 1 else 's'}",
        color=INK,
        fontsize=10,
        fontweight="bold",
    )
    for where, warning in told:
        lines = textwrap.wrap(warning.message, 78)
        if y - 0.03 * (len(lines) + 2) < 0.0:
            write_text(axes, 0.02, y - 0.03, "… more in pair.json", color=FAINT, fontsize=8.5)
            return
        y -= 0.034
        colour = SEVERE if warning.severity == "severe" else WARNING
        write_text(
            axes, 0.02, y, f"{warning.code.value} ({where})", color=colour, fontsize=8.5, fontweight="bold"
        )
        for line in lines:
            y -= 0.027
            write_text(axes, 0.02, y, line, color=INK, fontsize=8)
