"""The door for a user's own masks: a path becomes labels on the grid of the study.

A mask is a file like any other, so that `given_mask` parses it in a process of its own; here its labels arrive.
"""

from pathlib import Path

from dras_model.imaging.reading.parent import labels_elsewhere
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused


def read_label_map(path: Path, grid: Grid) -> LabelMap:
    """Read the label map at `path` on `grid`, the study's, whatever the order of its axes in the file.

    Raises StudyRefused: NOT_FOUND, MASK_INVALID, MASK_GEOMETRY, VOLUME_TOO_LARGE, and the reading process' own;
    SetupRefused where nothing can be read at all.
    """
    if not path.is_file():
        raise StudyRefused(Code.NOT_FOUND, path=str(path))
    return LabelMap(labels_elsewhere(path, grid), grid)
