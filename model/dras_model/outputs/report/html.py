"""The report as one HTML file: styles and pictures are within it, it runs no script and asks no network.

Leaves out the promise of one page: a browser lays it out for the width it has, and printed most results fit a page.
"""

from collections.abc import Iterable
from html import escape
from importlib.resources import files

from dras_model.outputs.report.content import Caution, Headline, ReportContent
from dras_model.outputs.report.pictures import Pictures
from dras_model.outputs.report.svg import Picture
from dras_model.outputs.report.table import Cell, Head, Row, Table

_STYLE = "report.css"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_html(content: ReportContent, pictures: Pictures) -> str:
    """Return the whole file."""
    title = escape(content.title if content.label is None else f"{content.title}: {content.label}")
    style = (files(__package__) / _STYLE).read_text("utf-8")
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Nothing may be loaded or run, whatever a later reader embeds the page in.
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>",
            _header(content),
            "<main>",
            _cautions(content),
            _headlines(content.headlines),
            _sections(pictures),
            _regions(content, pictures.chart),
            "</main>",
            _footer(content, pictures.patches),
            "</body>\n</html>\n",
        )
    )


def _header(content: ReportContent) -> str:
    label = "" if content.label is None else f'<span class="label">{escape(content.label)}</span>'
    day = "" if content.day is None else f'<time datetime="{content.day}">{content.day}</time>'
    bands = "".join(f'<p class="band">{escape(band)}</p>\n' for band in content.bands)
    return (
        f'<header>\n<div class="top"><h1>{escape(content.title)}</h1>{label}{day}</div>\n'
        f'<p class="notice">{escape(content.notice)}</p>\n{bands}'
        f'<p class="facts">{escape(content.acquisition)}</p>\n</header>'
    )


def _cautions(content: ReportContent) -> str:
    items = "\n".join(map(_caution, content.cautions))
    listed = f'\n<ol class="cautions">\n{items}\n</ol>' if items else ""
    return f"<section>\n<h2>{escape(content.heading)}</h2>{listed}\n</section>"


def _caution(caution: Caution) -> str:
    kind = ' class="severe"' if caution.severe else ""
    severe = "Severe: " if caution.severe else ""
    title = f"{caution.number}. {severe}{caution.title}."
    return f"<li{kind}><strong>{escape(title)}</strong> {escape(caution.message)}</li>"


def _headlines(headlines: Iterable[Headline]) -> str:
    items = "\n".join(map(_headline, headlines))
    return f'<section aria-label="Both lungs">\n<dl class="headlines">\n{items}\n</dl>\n</section>'


def _headline(headline: Headline) -> str:
    unit = f'&nbsp;<span class="unit">{escape(headline.unit)}</span>' if headline.unit else ""
    words = "" if headline.unit else " words"
    note = f'<dd class="note">{escape(headline.note)}</dd>' if headline.note else ""
    kind = "doubt severe" if headline.severe else "doubt"
    doubt = f'<dd class="{kind}">{escape(headline.doubt)}</dd>' if headline.doubt else ""
    return (
        f'<div><dt>{escape(headline.name)}</dt><dd class="value{words}">{escape(headline.value)}{unit}</dd>'
        f"<dd>{escape(headline.meaning)}</dd>{note}{doubt}</div>"
    )


def _sections(pictures: Pictures) -> str:
    drawn = "\n".join(map(_picture, pictures.row))
    return (
        f'<section>\n<h2>Key images</h2>\n<div class="pictures">\n{drawn}\n</div>\n'
        f'<p class="foot">{escape(pictures.legend)}</p>\n</section>'
    )


def _picture(picture: Picture) -> str:
    head = f'<svg role="img" aria-label="{escape(picture.alt)}" '
    drawn = picture.svg.replace("<svg ", head, 1)
    return (
        f'<figure style="--basis: {4 * picture.width_mm:.0f}px">{drawn}\n'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _regions(content: ReportContent, chart: Picture) -> str:
    notes = "".join(
        f"<p><sup>{letter}</sup> {escape(reason)}</p>\n" for letter, reason in content.table.footnotes
    )
    sources = "\n".join(f"<li>{escape(each)}</li>" for each in content.references)
    return (
        '<section>\n<h2>Regions</h2>\n<div class="regions">\n<div>\n'
        '<div class="scroll" role="region" aria-label="Table of regions" tabindex="0">\n'
        f"{_table(content.table)}</div>\n"
        f'<div class="foot">{notes}</div>\n</div>\n{_picture(chart)}\n</div>\n'
        f'<div class="foot"><p class="comparison">{escape(content.comparison)}</p>\n'
        f"<ul>\n{sources}\n</ul></div>\n</section>"
    )


def _table(table: Table) -> str:
    heads = "".join(map(_head, table.heads))
    rows = "\n".join(map(_row, table.rows))
    return (
        f'<table>\n<thead><tr><th scope="col">Region</th>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n"
    )


def _head(head: Head) -> str:
    cautions = f"<span>see {escape(head.cautions)}</span>" if head.cautions else ""
    return f'<th scope="col">{escape(head.title)}<span>{escape(head.unit)}</span>{cautions}</th>'


def _row(row: Row) -> str:
    kind = ' class="inner"' if row.inner else ""
    return f'<tr{kind}><th scope="row">{escape(row.name)}</th>{"".join(map(_cell, row.cells))}</tr>'


def _cell(cell: Cell) -> str:
    mark = f"<sup>{cell.mark}</sup>" if cell.mark else ""
    return f"<td>{escape(cell.text)}{mark}</td>"


def _footer(content: ReportContent, patches: Picture) -> str:
    lines = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in content.provenance
    )
    return f'<footer>\n<div class="end">\n<dl>\n{lines}\n</dl>\n{_picture(patches)}\n</div>\n</footer>'
