"""A report made for a test, and readers of it that know nothing of how it was made."""

import io
import re
from dataclasses import dataclass, replace
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

import pypdf

from dras_model.outputs.key_images import take_key_images, write_key_images
from dras_model.outputs.masks import low_attenuation
from dras_model.outputs.names import KEY_IMAGES, REPORT_HTML, REPORT_PDF
from dras_model.outputs.report.page import Page
from dras_model.outputs.report.writing import write_report
from dras_model.outputs.stored import StoredResult
from dras_model.results.study import StudyResult
from unit.dras_model.outputs.invented import stored
from unit.dras_model.outputs.test_key_images import chest

VOID = {"meta", "br", "line", "rect", "circle", "polygon", "image"}


@dataclass(frozen=True)
class Printed:
    """Both files of a report."""

    html: str
    pdf: bytes

    @property
    def pages(self) -> int:
        return len(pypdf.PdfReader(io.BytesIO(self.pdf)).pages)

    @cached_property
    def text(self) -> str:
        """The words of the PDF, white space as single spaces."""
        reader = pypdf.PdfReader(io.BytesIO(self.pdf))
        return " ".join(" ".join(page.extract_text() for page in reader.pages).split())

    @cached_property
    def page(self) -> "Html":
        return Html.of(self.html)


class Html(HTMLParser):
    """The words, the tables and the elements of a page; ValueError where an element is left open."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self._words: list[str] = []

    @classmethod
    def of(cls, html: str) -> "Html":
        page = cls()
        page.feed(html)
        page.close()
        if page._open:
            raise ValueError(f"left open: {page._open}")
        return page

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"</{tag}> closes nothing that is open")

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self._words.append(data)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


def prepared(folder: Path, result: StudyResult) -> StoredResult:
    """A stored result with the key images of a chest with a spot of low attenuation in the right lung."""
    volume, lungs = chest()
    write_key_images(folder / KEY_IMAGES, take_key_images(volume, lungs, low_attenuation(volume, lungs)))
    invented = stored(result)
    return StoredResult(result, folder, invented.parts)


def printed(ready: StoredResult, result: StudyResult | None = None, page: Page | None = None) -> Printed:
    """The report of `ready`, or of another result beside the same arrays."""
    folder = ready.path(KEY_IMAGES).parent
    write_report(replace(ready, result=result or ready.result), folder, page or Page())
    return Printed((folder / REPORT_HTML).read_text("utf-8"), (folder / REPORT_PDF).read_bytes())


def numbers(text: str) -> list[str]:
    """Every number of a text, with a plain minus sign."""
    return re.findall(r"-?\d+(?:\.\d+)?", text.replace("\N{MINUS SIGN}", "-"))
