"""`qc.png`: six sections with contours, patches and low attenuation, and the numbers beside them.

Radiological convention: the patient's right is on the viewer's left. Drawn without pyplot, so that
it holds no global state and runs in any thread.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.box import Box
from dras_model.imaging.patches import Patches
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.outputs.pictures import (
    BACKGROUND,
    CONTOURS,
    FAINT,
    INK,
    INVALID_PATCH,
    LAA_HU,
    LOW_ATTENUATION,
    SEVERE,
    VALID_PATCH,
    LungPlanes,
    write_text,
)
from dras_model.outputs.qc_panel import write_panel
from dras_model.outputs.report.maps import is_trained
from dras_model.results.study import NOTICE, StudyResult

WINDOW_HU = (-1050.0, 250.0)  # wide enough for lung and mediastinum
PNG_LEVEL = 3  # a third of the time of the usual 6, and a tenth more bytes


@dataclass(frozen=True, slots=True)
class Section:
    """One picture: the plane `index` of array axis `axis`, of `volume` in LAS."""

    title: str
    axis: int
    index: int


def draw_qc(path: Path, *, result: StudyResult, volume: Volume, lungs: LabelMap, patches: Patches) -> None:
    """Draw the picture as a file; `volume` and `lungs` share a grid, of orientation LAS."""
    figure = qc_figure(result=result, volume=volume, lungs=lungs, patches=patches)
    figure.savefig(path, facecolor=BACKGROUND, pil_kwargs={"compress_level": PNG_LEVEL})


def qc_figure(*, result: StudyResult, volume: Volume, lungs: LabelMap, patches: Patches) -> Figure:
    """Lay the picture out; ValueError where the grid is not LAS, on which sides and letters rest."""
    planes = LungPlanes.of(lungs)
    box = planes.box()
    figure = Figure(figsize=(17.0, 8.7), dpi=110, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 4, width_ratios=(1, 1, 1, 1.05), left=0.012, right=0.988, top=0.9, bottom=0.035, wspace=0.04,
        hspace=0.09,
    )  # fmt: skip
    for place, section in enumerate(_sections(planes)):
        axes = figure.add_subplot(grid[place // 3, place % 3])
        _draw_section(axes, section, volume=volume, lungs=lungs, patches=patches, box=box)
    panel = figure.add_subplot(grid[:, 3])
    write_panel(panel, result)
    _write_titles(figure, result)
    return figure


def _sections(planes: LungPlanes) -> list[Section]:
    """Coronal and both sagittal sections through most lung; axial ones at three heights."""
    low, high = planes.ends()
    apical, middle, basal = (round(low + part * (high - low)) for part in (0.78, 0.5, 0.25))
    return [
        Section("coronal", 1, planes.fullest(1)),
        Section("sagittal, right lung", 2, planes.fullest(2, RIGHT)),
        Section("sagittal, left lung", 2, planes.fullest(2, LEFT)),
        Section("axial, apical", 0, apical),
        Section("axial, middle", 0, middle),
        Section("axial, basal", 0, basal),
    ]


def _draw_section(
    axes: Axes, section: Section, *, volume: Volume, lungs: LabelMap, patches: Patches,
    box: Box,
) -> None:  # fmt: skip
    rows, columns = (axis for axis in range(3) if axis != section.axis)
    spacing = volume.grid.spacing_mm
    plane = np.take(volume.hu, section.index, axis=section.axis)
    labels = np.take(lungs.labels, section.index, axis=section.axis)
    extent = (
        -0.5 * spacing[columns],
        (plane.shape[1] - 0.5) * spacing[columns],
        -0.5 * spacing[rows],
        (plane.shape[0] - 0.5) * spacing[rows],
    )
    axes.imshow(
        plane, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], origin="lower", extent=extent,
        interpolation="bilinear",
    )  # fmt: skip
    _draw_low_attenuation(axes, plane, labels, extent)
    _draw_patches(axes, section, volume=volume, patches=patches, axes_of=(rows, columns))
    x_mm = np.arange(plane.shape[1]) * spacing[columns]
    y_mm = np.arange(plane.shape[0]) * spacing[rows]
    for label, colour in CONTOURS.items():
        mask = labels == label
        if mask.any() and not mask.all():
            axes.contour(x_mm, y_mm, mask, levels=[0.5], colors=[colour], linewidths=1.1)
    axes.set_xlim(box[columns].start * spacing[columns], (box[columns].stop - 1) * spacing[columns])
    axes.set_ylim(box[rows].start * spacing[rows], (box[rows].stop - 1) * spacing[rows])
    _dress(axes, section)


def _draw_low_attenuation(
    axes: Axes,
    plane: NDArray[np.float32],
    labels: NDArray[np.uint8],
    extent: tuple[float, float, float, float],
) -> None:
    low = (plane <= LAA_HU) & ((labels == RIGHT) | (labels == LEFT))
    if low.any():
        shown = np.ma.masked_where(~low, np.ones_like(plane))
        axes.imshow(
            shown, cmap=ListedColormap([LOW_ATTENUATION]), alpha=0.75, origin="lower", extent=extent,
            interpolation="nearest",
        )  # fmt: skip


def _draw_patches(
    axes: Axes, section: Section, *, volume: Volume, patches: Patches, axes_of: tuple[int, int]
) -> None:
    """Outline the patches whose middle is nearest to the section: one layer of the lattice."""
    rows, columns = axes_of
    spacing = volume.grid.spacing_mm
    size_mm = float(patches.hu.shape[1])  # the lattice is 1 mm
    corners_mm = volume.grid.to_index(patches.corner_mm) * np.array(spacing)
    here_mm = section.index * spacing[section.axis]
    distance_mm = np.abs(corners_mm[:, section.axis] + size_mm / 2.0 - here_mm)
    layer = distance_mm <= size_mm / 2.0
    if not layer.any():
        return
    nearest = corners_mm[layer, section.axis][np.argmin(distance_mm[layer])]
    layer &= np.abs(corners_mm[:, section.axis] - nearest) <= 13.0  # half of the 26 mm lattice step
    for valid in (True, False):
        corners = corners_mm[layer & (patches.valid == valid)][:, [columns, rows]] - 0.5
        outlines = PolyCollection(
            corners[:, None] + size_mm * np.array([(0, 0), (1, 0), (1, 1), (0, 1)]), facecolors="none",
            edgecolors=VALID_PATCH if valid else INVALID_PATCH, linewidths=0.6 if valid else 0.9,
            alpha=0.38 if valid else 0.9, linestyles="-" if valid else ":",
        )  # fmt: skip
        axes.add_collection(outlines, autolim=False)


def _dress(axes: Axes, section: Section) -> None:
    """Title, orientation letters, and anterior to the viewer's left in sagittal sections."""
    axes.set_axis_off()
    axes.set_anchor("N")
    axes.set_title(section.title, color=FAINT, fontsize=9.5, loc="left", pad=3, parse_math=False)
    left, right = {0: ("R", "L"), 1: ("R", "L"), 2: ("A", "P")}[section.axis]
    top = "A" if section.axis == 0 else "H"
    if section.axis == 2:
        axes.invert_xaxis()
    for x, y, letter in ((0.015, 0.5, left), (0.985, 0.5, right), (0.5, 0.975, top)):
        write_text(
            axes, x, y, letter, transform=axes.transAxes, color=INK, fontsize=9, fontweight="bold",
            ha="center", va="center", path_effects=[Stroke(linewidth=2.5, foreground=BACKGROUND), Normal()],
        )  # fmt: skip


def _write_titles(figure: Figure, result: StudyResult) -> None:
    geometry, acquisition = result.geometry, result.acquisition
    (x, y, z), (dx, dy, dz) = geometry.size_xyz, geometry.spacing_xyz_mm
    facts = [
        f"{x} × {y} × {z} voxels of {dx:.2f} × {dy:.2f} × {dz:.2f} mm",
        f"kernel {acquisition.kernel or 'unknown'}",
        acquisition.manufacturer or "unknown scanner",
    ]
    write_text(
        figure, 0.012, 0.972, "Lungs, patches and low attenuation", color=INK, fontsize=15, va="center"
    )
    write_text(figure, 0.012, 0.942, "   ·   ".join(facts), color=FAINT, fontsize=10, va="center")
    weights = result.provenance.weights.training
    write_text(figure, 0.988, 0.972, NOTICE, color=INK, fontsize=11, ha="right", va="center")
    colour = FAINT if is_trained(weights) else SEVERE
    shown = f"encoder weights: {weights}"
    write_text(figure, 0.988, 0.943, shown, color=colour, fontsize=10, ha="right", va="center")
