"""All pictures of the page, drawn once for both of its forms."""

from dataclasses import dataclass

from dras_model.outputs.features import Features
from dras_model.outputs.key_images import KeyImages
from dras_model.outputs.report.chart import draw_chart
from dras_model.outputs.report.maps import LEAST_DEPTH_MM, draw_laa_map, draw_patches
from dras_model.outputs.report.normal_values import departures
from dras_model.outputs.report.sections import BAR_MM, draw_sections, window
from dras_model.outputs.report.svg import Picture
from dras_model.outputs.report.table import Values
from dras_model.results.study import StudyResult

ROW_WIDTH_MM, GAP_MM, TALLEST_MM = 186.0, 3.0, 50.0  # of a page of A4 or letter with its margins
CHART_WIDTH_MM, PATCHES_MM = 74.0, 24.0


@dataclass(frozen=True, slots=True)
class Pictures:
    """`row` holds the sections and the map, which fill the width of the page at one scale; `legend` is theirs."""

    row: tuple[Picture, ...]
    legend: str
    chart: Picture
    patches: Picture


def draw_pictures(result: StudyResult, images: KeyImages, features: Features) -> Pictures:
    """Draw everything."""
    row = _row(images, TALLEST_MM)
    width_mm = sum(each.width_mm for each in row) + GAP_MM * (len(row) - 1)
    if width_mm > ROW_WIDTH_MM:
        row = _row(images, TALLEST_MM * ROW_WIDTH_MM / width_mm)
    training = result.provenance.weights.training
    return Pictures(
        row=row,
        legend=f"Sections with most low attenuation among those with much lung; {window()}; orange: lung at or"
        f" below −950 HU; blue: outline of the lungs; bar {BAR_MM / 10:g} cm. Map: from the front, cells with"
        f" {LEAST_DEPTH_MM:g} mm of lung and more. R right, L left, H head, F feet, A front, P back.",
        chart=draw_chart(Values(result), comparable=not departures(result), width_mm=CHART_WIDTH_MM),
        patches=draw_patches(images, features, training=training, height_mm=PATCHES_MM),
    )


def _row(images: KeyImages, height_mm: float) -> tuple[Picture, ...]:
    return (*draw_sections(images, height_mm=height_mm), draw_laa_map(images, height_mm=height_mm))
