"""What derived objects take over from a chosen series, read from its headers in the reading process.

Of the patient and the study one file is asked, the middle one of the stack, as a series belongs to one study
of one patient. A value that is not of its form is left out, as if the header lacked it; an identifier without
which nothing can be referred to refuses the description.
"""

from pathlib import Path

from pydantic import ValidationError
from pydicom.dataset import Dataset

from dras_model.imaging.attributes import text
from dras_model.imaging.series import ChosenSeries
from dras_model.imaging.slices import Slice, quiet_pydicom, read_attributes
from dras_model.imaging.source_series import TAKEN_OVER, SourceImage, SourceSeries, is_of_form
from dras_model.imaging.stack import Stack
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

_OF_TIME = {"SeriesTime", "StudyTime", "AcquisitionTime"}


def describe(series: ChosenSeries, *, input_sha256: str) -> SourceSeries:
    """Describe the slices that were chosen. Raises StudyRefused SOURCE_UNIDENTIFIED."""
    stack = series.stack
    middle = stack.slices[len(stack.slices) // 2]
    with quiet_pydicom():
        root = read_attributes(middle.path)
        found = {keyword: _value(root, keyword) for keyword in TAKEN_OVER if keyword in root}
    attributes = {keyword: value for keyword, value in found.items() if is_of_form(keyword, value)}
    try:
        return SourceSeries(
            attributes=attributes,
            study_instance_uid=_uid(root, "StudyInstanceUID"),
            series_instance_uid=_uid(root, "SeriesInstanceUID"),
            frame_of_reference_uid=_uid(root, "FrameOfReferenceUID"),
            sop_class_uid=_uid(root, "SOPClassUID"),
            rows=middle.rows,
            columns=middle.columns,
            **_geometry(middle),
            slice_thickness_mm=middle.acquisition.slice_thickness_mm,
            lossy=any(item.lossy for item in stack.slices),
            images=_images(stack),
            input_sha256=input_sha256,
        )
    except ValidationError as fault:
        keyword = _KEYWORDS.get(str(fault.errors()[0]["loc"][0]), "SOPInstanceUID")
        raise StudyRefused(Code.SOURCE_UNIDENTIFIED, keyword=keyword) from fault


_KEYWORDS = {
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "frame_of_reference_uid": "FrameOfReferenceUID",
    "sop_class_uid": "SOPClassUID",
}


def _value(root: Dataset, keyword: str) -> str:
    value = text(root.get(keyword))
    return value.replace(":", "") if keyword in _OF_TIME else value  # as ACR-NEMA wrote times


def _uid(root: Dataset, keyword: str) -> str:
    return text(root.get(keyword))


def _geometry(item: Slice) -> dict[str, tuple[float, ...]]:
    if item.row is None or item.column is None or item.spacing_mm is None:  # `stack` has refused such
        raise StudyRefused(Code.GEOMETRY_MISSING, n_slices=1, keyword="ImageOrientationPatient")
    return {
        "row": tuple(item.row.tolist()),
        "column": tuple(item.column.tolist()),
        "spacing_mm": item.spacing_mm,
    }


def _images(stack: Stack) -> tuple[SourceImage, ...]:
    """Return every slice of the stack, in its order."""
    files: dict[Path, int] = {}
    for item in stack.slices:
        files[item.path] = max(files.get(item.path, 1), item.n_frames)
    return tuple(
        SourceImage(
            sop_instance_uid=item.uid,
            frame=item.frame + 1 if files[item.path] > 1 else None,
            position_mm=(float(x), float(y), float(z)),
        )
        for item in stack.slices
        if item.position is not None
        for x, y, z in [item.position]
    )
