"""The report as a PDF of one page, tagged for readers of screens (PDF/UA-1); equal input gives equal bytes.

`report.typ` lays it out and makes it fit: type and pictures shrink step by step, then warnings that are not severe
keep their titles alone (decision 0030). Leaves out every word: those are `content`'s.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path

from dras_model.outputs.report.content import ReportContent
from dras_model.outputs.report.page import Page
from dras_model.outputs.report.pictures import Pictures
from dras_model.outputs.report.svg import Picture
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

_TEMPLATE, _DATA, _FONTS = "report.typ", "report.json", "fonts"
_PAPERS = {"a4": "a4", "letter": "us-letter"}


def render_pdf(content: ReportContent, pictures: Pictures, page: Page, *, folder: Path) -> bytes:
    """Return the whole file; what Typst reads lies below `folder` meanwhile.

    Raises SetupRefused MISSING_EXTRA where typst is not installed.
    """
    try:
        import typst  # noqa: PLC0415 - 80 MB that only this form needs
    except ImportError as fault:
        raise SetupRefused(Code.MISSING_EXTRA, package="typst", extra="cpu") from fault
    shown = (*pictures.row, pictures.chart, pictures.patches)
    data = {
        **asdict(content),
        "paper": _PAPERS[page.paper],
        "legend": pictures.legend,
        "row": [_told(each) for each in pictures.row],
        "chart": _told(pictures.chart),
        "patches": _told(pictures.patches),
    }
    with _template(folder) as here, as_file(files(__package__) / _FONTS) as fonts:
        (here / _DATA).write_text(json.dumps(data), "utf-8")
        for each in shown:
            (here / f"{each.name}.svg").write_text(each.svg, "utf-8")
        return typst.compile(
            str(here / _TEMPLATE),
            root=str(here),
            font_paths=typst.Fonts(
                include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(fonts)]
            ),
            format="pdf",
            pdf_standards="ua-1",
        )


@contextmanager
def _template(folder: Path) -> Iterator[Path]:
    """Yield a folder with the template, to which everything that it reads is added; it goes in the end."""
    with tempfile.TemporaryDirectory(prefix=".dras-report-", dir=folder) as name:
        here = Path(name)
        (here / _TEMPLATE).write_text((files(__package__) / _TEMPLATE).read_text("utf-8"), "utf-8")
        yield here


def _told(picture: Picture) -> dict[str, str | float]:
    return {
        "file": f"{picture.name}.svg",
        "alt": picture.alt,
        "caption": picture.caption,
        "width": picture.width_mm,
        "height": picture.height_mm,
    }
