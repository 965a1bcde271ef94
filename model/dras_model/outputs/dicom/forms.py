"""The DICOM objects as forms of a result (`exports`): each alone, or all with one reading of the headers.

They carry the name of a patient: the service makes them where they are asked for, and nowhere else.
"""

from pathlib import Path

from dras_model.imaging.source_series import SourceSeries
from dras_model.outputs.dicom.encapsulated_report import REPORT, write_encapsulated_report
from dras_model.outputs.dicom.parametric_map import MAP, write_parametric_map
from dras_model.outputs.dicom.segmentation import SEG, write_seg
from dras_model.outputs.dicom.source import source_of
from dras_model.outputs.dicom.structured_report import SR, write_sr
from dras_model.outputs.stored import StoredResult


def write_objects(stored: StoredResult, series: SourceSeries, folder: Path) -> None:
    """Write the three objects of measurements of a result whose source is known."""
    write_sr(folder / SR, stored.result, series)
    write_seg(folder / SEG, stored, series)
    write_parametric_map(folder / MAP, stored, series, feature=stored.map_feature)


def write_all_objects(stored: StoredResult, series: SourceSeries, folder: Path) -> None:
    """Write the three objects of measurements and the report's page."""
    write_objects(stored, series, folder)
    write_encapsulated_report(folder / REPORT, stored, series)


def export_dicom(stored: StoredResult, folder: Path, source: Path | None = None) -> None:
    """Write all objects. Raises as `source.source_of` does."""
    write_all_objects(stored, source_of(stored, source), folder)


def export_sr(stored: StoredResult, folder: Path, source: Path | None = None) -> None:
    """Write the Structured Report."""
    write_sr(folder / SR, stored.result, source_of(stored, source))


def export_seg(stored: StoredResult, folder: Path, source: Path | None = None) -> None:
    """Write the Segmentation."""
    write_seg(folder / SEG, stored, source_of(stored, source))


def export_map(stored: StoredResult, folder: Path, source: Path | None = None) -> None:
    """Write the Parametric Map of the feature that was asked for."""
    write_parametric_map(folder / MAP, stored, source_of(stored, source), feature=stored.map_feature)


def export_page(stored: StoredResult, folder: Path, source: Path | None = None) -> None:
    """Write the report's page as an encapsulated PDF."""
    write_encapsulated_report(folder / REPORT, stored, source_of(stored, source))
