"""The way of an export: a stored result -> any of its forms, in a folder that appears whole or not at all.

Reads results; the images only where a form needs them and they are named.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from dras_model.outputs.exports import EXPORTS, GROUPS, write_exports
from dras_model.outputs.folder import new_folder, refuse_to_replace
from dras_model.outputs.report.page import DEFAULT_PAGE, Page
from dras_model.outputs.stored import DEFAULT_FEATURE, StoredResult


def export(
    result: Path,
    out: Path,
    *,
    forms: Sequence[str],
    source: Path | None = None,
    overwrite: bool = False,
    page: Page = DEFAULT_PAGE,
    map_feature: str = DEFAULT_FEATURE,
) -> tuple[str, ...]:
    """Make `forms` (of EXPORTS or GROUPS) of the result at `result`; return the names of the files in `out`.

    `page` is what a report carries beside the result, `map_feature` what a Parametric Map shows.

    Raises StudyRefused: NOT_FOUND, RESULT_INVALID, RESULT_VERSION, FEATURE_UNKNOWN, and what reading `source` is
    refused with; SetupRefused: OUTPUT_NOT_WRITABLE, SOURCE_NEEDED. KeyError for a form that is none.
    """
    names = forms_of(forms)
    stored = StoredResult.read(result, page=page, map_feature=map_feature)
    for read in (result, *([] if source is None else [source])):
        refuse_to_replace(out, read)
    with new_folder(out, overwrite=overwrite) as folder:
        write_exports(names, stored, folder, source=source)
        return tuple(sorted(entry.name for entry in folder.iterdir()))


def forms_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the forms that names of forms and of groups stand for, each once; KeyError for another name."""
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys(GROUPS.get(name, (name,)))
    if unknown := [name for name in found if name not in EXPORTS]:
        raise KeyError(unknown[0])
    return tuple(found)
