"""A result that can be shown again: the numbers of a study with the arrays that lie beside them, without the CT.

It is read from a folder of `dras extract`, each part when it is asked for, or made of what a run has in memory
(`Extraction.stored`), so that every output is written by one code whether it is made in the run or years later.
Leaves out the scan: what needs HU is written while they are there (`extraction`), or reads the series again.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dras_model.imaging.volume import Grid, LabelMap
from dras_model.outputs.features import Features, FeaturesError, read_features
from dras_model.outputs.masks import LabelFileError, native_grid, read_labels
from dras_model.outputs.names import FEATURES, LOW_ATTENUATION, LUNGS
from dras_model.outputs.reading import invalid, read_result
from dras_model.outputs.report.page import DEFAULT_PAGE, Page
from dras_model.results.study import StudyResult

DEFAULT_FEATURE = "laa950"  # low attenuation in each patch


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What lies beside a result, on the native grid and in the atlas' order, as a run has it in memory."""

    lungs: LabelMap
    low_attenuation: LabelMap
    features: Features


@dataclass(frozen=True, eq=False)
class StoredResult:
    """One result; `folder` is where its files lie, None before they are written, when `parts` are given.

    Every part raises StudyRefused RESULT_INVALID where its file is missing or damaged.
    """

    result: StudyResult
    folder: Path | None = None
    parts: Parts | None = None
    page: Page = DEFAULT_PAGE
    map_feature: str = DEFAULT_FEATURE

    @classmethod
    def read(
        cls, path: Path, *, page: Page = DEFAULT_PAGE, map_feature: str = DEFAULT_FEATURE
    ) -> "StoredResult":
        """Open a folder of `dras extract`, or the `result.json` in it; `page` is for a report.

        `map_feature` is what a Parametric Map shows.

        Raises StudyRefused: NOT_FOUND, RESULT_INVALID, RESULT_VERSION.
        """
        result = read_result(path)
        return cls(result, path if path.is_dir() else path.parent, page=page, map_feature=map_feature)

    @cached_property
    def grid(self) -> Grid:
        """The native grid, its voxels in the order of the series."""
        try:
            return native_grid(self.result.geometry)
        except LabelFileError as fault:
            raise invalid(self.folder or Path(), str(fault)) from fault

    @cached_property
    def lungs(self) -> LabelMap:
        """1 right, 2 left, 3 airway (`imaging.atlas`, `imaging.lungs`) on `grid`."""
        return self._labels(LUNGS) if self.parts is None else self.parts.lungs

    @cached_property
    def low_attenuation(self) -> LabelMap:
        """0 outside, 1 lung, 2 lung at or below -950 HU (`outputs.masks`) on `grid`."""
        return self._labels(LOW_ATTENUATION) if self.parts is None else self.parts.low_attenuation

    @cached_property
    def features(self) -> Features:
        """The arrays of the patches."""
        if self.parts is not None:
            return self.parts.features
        path = self.path(FEATURES)
        try:
            return read_features(path)
        except FeaturesError as fault:
            raise invalid(path, str(fault)) from fault

    def path(self, name: str) -> Path:
        """Return where a file of the result lies; StudyRefused RESULT_INVALID where there is none."""
        folder = self.folder or Path()
        path = folder / name
        if self.folder is None or not path.exists():
            raise invalid(folder, f"there is no {name}")
        return path

    def _labels(self, name: str) -> LabelMap:
        path = self.path(name)
        try:
            return read_labels(path, self.grid)
        except LabelFileError as fault:
            raise invalid(path, str(fault)) from fault
