"""The way of a comparison: stored results of one person, earliest first -> their differences.

Reads results and embeddings, never images. A fault of what is given is told by its place and reason, not by its
content.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dras_model import __version__
from dras_model.outputs.comparing import write_comparison
from dras_model.outputs.folder import new_folder
from dras_model.outputs.names import FEATURES
from dras_model.outputs.reading import invalid, read_result
from dras_model.results.codes import Code
from dras_model.results.comparison import ComparisonResult
from dras_model.results.errors import StudyRefused
from dras_model.results.study import StudyResult
from dras_model.scores.comparison import Embedded, compare_results, summarise


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A result as it was stored, with its embeddings where they lie beside it."""

    result: StudyResult
    embedded: Embedded | None


def compare(
    results: Sequence[Path],
    out: Path,
    *,
    interval_years: Sequence[float] = (),
    overwrite: bool = False,
) -> ComparisonResult:
    """Compare the first result with each later one; the folder of outputs appears complete or not at all.

    `interval_years` is the time from the baseline to each follow-up, or empty: results hold no dates.
    ValueError where fewer than two results or another number of intervals is given. Raises StudyRefused:
    NOT_FOUND, RESULT_INVALID, RESULT_VERSION, SAME_STUDY; SetupRefused OUTPUT_NOT_WRITABLE.
    """
    if len(results) < 2:
        raise ValueError("a comparison needs a baseline and a follow-up")
    if interval_years and (len(interval_years) != len(results) - 1 or min(interval_years) <= 0):
        raise ValueError(f"give one positive interval for each of the {len(results) - 1} follow-ups, or none")
    baseline, *followups = [read_stored(path) for path in results]
    _refuse_same([stored.result for stored in (baseline, *followups)])
    compared = [
        compare_results(
            baseline.result,
            followup.result,
            interval_years=interval_years[index] if interval_years else None,
            embedded=(baseline.embedded, followup.embedded),
        )
        for index, followup in enumerate(followups)
    ]
    result = ComparisonResult(
        dras_version=__version__,
        baseline=summarise(baseline.result),
        followups=tuple(followup for followup, _ in compared),
    )
    with new_folder(out, overwrite=overwrite) as folder:
        write_comparison(result, [distances for _, distances in compared], folder)
    return result


def read_stored(path: Path) -> Stored:
    """Read a folder of `dras extract`, or its `result.json` alone. Raises StudyRefused."""
    result = read_result(path)
    return Stored(result, _read_embedded((path if path.is_dir() else path.parent) / FEATURES))


def _read_embedded(path: Path) -> Embedded | None:
    """Read the embeddings; None where there are none. Raises StudyRefused RESULT_INVALID."""
    if not path.is_file():
        return None
    try:
        # Opened here: NumPy leaves a damaged archive's file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            embeddings, valid = np.asarray(arrays["embeddings"]), np.asarray(arrays["valid"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as fault:
        raise invalid(path, "it cannot be read") from fault
    if embeddings.ndim != 2 or valid.shape != embeddings.shape[:1] or valid.dtype != np.bool_:
        raise invalid(path, "its arrays have other shapes")
    return Embedded(embeddings, valid)


def _refuse_same(results: Sequence[StudyResult]) -> None:
    """Refuse results that were made from the same images."""
    digests = [result.provenance.input_sha256 for result in results]
    if len(set(digests)) < len(digests):
        raise StudyRefused(Code.SAME_STUDY)
