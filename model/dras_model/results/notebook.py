"""How a result shows itself in a notebook: plain tables, everything escaped, no script and no style sheet."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from dras_model.results.phenotypes import HARMONISED_HEADLINE, HEADLINE

if TYPE_CHECKING:
    from dras_model.results.study import Score, StudyResult, StudyWarning


def table_html(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; numbers stand to the right, None is a dash."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heading)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def result_html(result: "StudyResult") -> str:
    """Return the notice, every warning, the severe ones first, and the headline scores by region."""
    warnings = sorted(result.warnings, key=lambda warning: warning.severity != "severe")
    columns, rows = _pivot(result.scores)
    weights = escape(result.provenance.weights.training)
    return (
        f"<div><p><b>{escape(result.notice)}</b> {escape(result.status.replace('_', ' '))}, weights: {weights}</p>"
        f"<ul>{''.join(map(_warning, warnings))}</ul>{table_html(('region', *columns), rows)}"
        f"<p>{len(result.scores)} scores in all.</p></div>"
    )


def score_html(score: "Score") -> str:
    """Return one score with what it is and what may be wrong with it."""
    value = f"no value, {score.reason}" if score.value is None else f"{score.value:.6g} {score.unit}"
    codes = " ".join(f"<code>{escape(code.value)}</code>" for code in score.warnings)
    where = score.region.value.replace("_", " ")
    return (
        f"<div><b>{escape(score.code)}</b> of {escape(where)} ({escape(score.image)}): {escape(value)} {codes}"
        f"<br><small>{escape(score.definition)}</small></div>"
    )


def _pivot(scores: Sequence["Score"]) -> tuple[list[str], list[list[object]]]:
    """Return column names, and one row a region: its name, then a value a column."""
    headline = {"raw": HEADLINE, "harmonised": HARMONISED_HEADLINE}
    shown = [score for score in scores if score.code in headline[score.image]]
    columns = list(dict.fromkeys((score.code, score.image, score.unit) for score in shown))
    values = {(score.region, score.code, score.image): score.value for score in shown}
    names = [
        f"{code}{', harmonised' if image == 'harmonised' else ''} / {unit}" for code, image, unit in columns
    ]
    return names, [
        [region.value.replace("_", " "), *(values.get((region, code, image)) for code, image, _ in columns)]
        for region in dict.fromkeys(score.region for score in shown)
    ]


def _warning(warning: "StudyWarning") -> str:
    mark = " (severe)" if warning.severity == "severe" else ""
    return f"<li><code>{escape(warning.code.value)}</code>{mark} {escape(warning.message)}</li>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td style="text-align:right">{value:.6g}</td>'
    return f"<td>{escape('–' if value is None else str(value))}</td>"
