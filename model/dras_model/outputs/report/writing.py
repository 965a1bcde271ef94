"""The report of a stored result as its two files: what `dras extract` and `dras export --to report` call."""

from pathlib import Path
from tempfile import TemporaryDirectory

from dras_model.outputs.key_images import KeyImages, KeyImagesError, read_key_images
from dras_model.outputs.names import KEY_IMAGES, REPORT_HTML, REPORT_PDF
from dras_model.outputs.reading import invalid
from dras_model.outputs.report.content import make_content
from dras_model.outputs.report.html import render_html
from dras_model.outputs.report.page import Page
from dras_model.outputs.report.pdf import render_pdf
from dras_model.outputs.report.pictures import draw_pictures
from dras_model.outputs.stored import StoredResult


def export_report(stored: StoredResult, folder: Path, _source: Path | None = None) -> None:
    """Write `report.pdf` and `report.html`. Raises StudyRefused RESULT_INVALID where a part is missing."""
    write_report(stored, folder, stored.page)


def write_report(stored: StoredResult, folder: Path, page: Page) -> None:
    """Write both files as `page` says."""
    content = make_content(stored.result, page)
    pictures = draw_pictures(stored.result, _key_images(stored), stored.features)
    (folder / REPORT_HTML).write_text(render_html(content, pictures), "utf-8")
    (folder / REPORT_PDF).write_bytes(render_pdf(content, pictures, page, folder=folder))


def set_page(stored: StoredResult) -> bytes:
    """Return the report as PDF alone. Raises StudyRefused RESULT_INVALID where a part is missing."""
    content = make_content(stored.result, stored.page)
    pictures = draw_pictures(stored.result, _key_images(stored), stored.features)
    with TemporaryDirectory() as folder:
        return render_pdf(content, pictures, stored.page, folder=Path(folder))


def _key_images(stored: StoredResult) -> KeyImages:
    path = stored.path(KEY_IMAGES)
    try:
        return read_key_images(path)
    except KeyImagesError as fault:
        raise invalid(path, str(fault)) from fault
