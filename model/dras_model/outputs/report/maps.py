"""Two maps of the lungs from the front: how much of them is low attenuation, and where the patches lie.

Leaves out what the embeddings say until there are weights that mean something: patches are coloured by them only
where the weights are trained on people.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dras_model.outputs.features import Features
from dras_model.outputs.key_images import KeyImages
from dras_model.outputs.report import svg
from dras_model.outputs.report.svg import FAINT, Picture

# Classes of the share of low attenuation in a cell, in %, and colours that darken from one to the next:
# ColorBrewer's OrRd, safe for colour-blind readers and photocopies, its first one greyer to be seen on white paper.
CLASSES = (1.0, 5.0, 10.0, 25.0, 50.0)
COLOURS = ("#e9e2da", "#fdd49e", "#fdbb84", "#fc8d59", "#e34a33", "#b30000")
LEAST_DEPTH_MM = 10.0  # of lung from front to back: a cell with less is left empty
LEGEND_MM = 8.0
SIDE_MM = 3.5  # beside the lungs, for the letters
PLAIN, INVALID = "#3b6ea5", "#b9c0c8"


def draw_laa_map(images: KeyImages, *, height_mm: float) -> Picture:
    """Draw the share of low attenuation from front to back in each cell, with its legend below."""
    rows, columns = images.map_lung.shape
    wide, high = columns * images.map_mm[1], rows * images.map_mm[0]
    scale = (height_mm - LEGEND_MM) / high
    width = max(wide * scale, 36.0)
    left = (width - wide * scale) / 2
    shapes = [svg.image(left, 0, wide * scale, high * scale, _cells_png(images))]
    shapes += _sides(width, high * scale)
    shapes += _legend(width, height_mm)
    share = shares(images)
    seen = share[np.isfinite(share)]
    most = float(seen.max()) if seen.size else 0.0
    return Picture(
        name="laa-map",
        svg=svg.svg(width, height_mm, shapes),
        width_mm=width,
        height_mm=height_mm,
        alt="Map of low attenuation from the front, the patient's right on the left: of each cell the share of lung"
        f" at or below −950 HU from front to back, at most {most:.0f} %.",
        caption="Share of low attenuation, front to back",
    )


def shares(images: KeyImages) -> NDArray[np.float64]:
    """Return the share of low attenuation in each cell (rows, columns) in %, NaN where there is little lung."""
    voxel_mm = float(np.prod(images.grid.spacing_mm))
    depth_mm = images.map_lung * voxel_mm / (images.map_mm[0] * images.map_mm[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        share: NDArray[np.float64] = 100.0 * images.map_low / images.map_lung
    return np.where(depth_mm >= LEAST_DEPTH_MM, share, np.nan)


def _cells_png(images: KeyImages) -> bytes:
    share = shares(images)
    place = np.where(np.isfinite(share), np.digitize(np.nan_to_num(share), CLASSES) + 1, 0).astype(np.uint8)
    picture = Image.fromarray(
        np.kron(place, np.ones((8, 8), np.uint8))
    )  # so that no reader smooths the cells
    palette = [255, 255, 255]
    for colour in COLOURS:
        palette += list(bytes.fromhex(colour[1:]))
    picture.putpalette(palette)
    content = io.BytesIO()
    picture.save(content, "PNG", transparency=0, compress_level=9)
    return content.getvalue()


def _sides(width: float, height: float) -> list[str]:
    return [
        svg.text(1.4, height / 2, "R", size=2.5, colour=FAINT, anchor="middle", bold=True),
        svg.text(width - 1.4, height / 2, "L", size=2.5, colour=FAINT, anchor="middle", bold=True),
    ]


def _legend(width: float, bottom: float) -> list[str]:
    step = min(7.0, width / len(COLOURS))
    left = (width - step * len(COLOURS)) / 2
    top = bottom - 5.4
    shapes = [svg.rectangle(left + n * step, top, step, 2.0, colour) for n, colour in enumerate(COLOURS)]
    for n, limit in enumerate(CLASSES, start=1):
        shapes.append(
            svg.text(left + n * step, top + 4.4, f"{limit:g}", size=2.1, colour=FAINT, anchor="middle")
        )
    shapes.append(svg.text(left + len(COLOURS) * step, top + 4.4, "%", size=2.1, colour=FAINT, anchor="end"))
    return shapes


def draw_patches(images: KeyImages, features: Features, *, training: str, height_mm: float) -> Picture:
    """Draw every patch at its place from the front; where the weights are trained, in its embedding's colour."""
    rows, columns = images.map_lung.shape
    wide, high = columns * images.map_mm[1], rows * images.map_mm[0]
    scale = height_mm / high
    width = wide * scale + 2 * SIDE_MM
    half = 0.5 * (features.lattice.patch_size if features.lattice else 32)
    places = images.on_map(features.corner_mm + half * np.array([1.0, -1.0, 1.0])) * scale
    places[:, 0] += SIDE_MM
    by_embedding = is_trained(training) and np.count_nonzero(features.valid) > 3
    colours = embedding_colours(features) if by_embedding else [PLAIN] * len(places)
    order = np.argsort(features.valid, kind="stable")  # the valid ones on top
    shapes = [
        svg.circle(
            float(places[n, 0]), float(places[n, 1]), 0.62, colours[n] if features.valid[n] else INVALID
        )
        for n in order
        if 0 <= places[n, 0] <= width and 0 <= places[n, 1] <= height_mm
    ]
    n_valid = int(features.valid.sum())
    told = f"{n_valid} of {len(places)} patches valid"
    how = (
        "like colours, like embeddings"
        if by_embedding
        else "not coloured by embedding: weights saw no patient"
    )
    return Picture(
        name="patches",
        svg=svg.svg(width, height_mm, [*shapes, *_sides(width, height_mm)]),
        width_mm=width,
        height_mm=height_mm,
        alt=f"Places of the atlas' patches in the lungs from the front: {told}; {how}.",
        caption=f"{told} (grey: not); {how}",
    )


def is_trained(training: str) -> bool:
    """Whether embeddings of such weights say something of people."""
    return training != "untrained" and "phantom" not in training


def embedding_colours(features: Features) -> Sequence[str]:
    """Return a colour a patch: its first three principal components as red, green and blue, grey-free of sign.

    The sign of a component is fixed by its largest weight, so that equal embeddings give equal colours.
    """
    valid = features.valid
    centred = features.embeddings.astype(np.float64) - features.embeddings[valid].mean(axis=0)
    _, _, axes = np.linalg.svd(centred[valid], full_matrices=False)
    axes = axes[:3] * np.sign(np.take_along_axis(axes[:3], np.abs(axes[:3]).argmax(axis=1)[:, None], axis=1))
    scores = np.nan_to_num(centred @ axes.T)
    low, high = np.percentile(scores[valid], (2, 98), axis=0)
    levels = np.clip((scores - low) / np.maximum(high - low, 1e-12), 0, 1)
    return ["#" + bytes((40 + 190 * row).astype(np.uint8).tolist()).hex() for row in levels]
