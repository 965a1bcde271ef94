"""The lungs and their low attenuation as a DICOM Segmentation on the slices of the source (PS3.3 A.51).

BINARY and uncompressed, as every viewer reads; frames without a pixel are left out (decision 0026). highdicom
writes the modules; the frames are written here, as it would want all four segments of all slices at once as
one array of bytes, and take thrice the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import AIRWAY
from dras_model.imaging.source_series import SourceImage, SourceSeries
from dras_model.outputs.dicom.codes import (
    ABNORMAL,
    ANATOMY,
    ARTIFICIAL_INTELLIGENCE,
    LEFT_SIDE,
    LUNG,
    RIGHT_SIDE,
    SEGMENTATION,
    SOURCE_IMAGE,
    private,
)
from dras_model.outputs.dicom.codes import AIRWAY as AIRWAY_SITE
from dras_model.outputs.dicom.encoding import encoded, put_sequence, sequence, unsigned_longs
from dras_model.outputs.dicom.objects import (
    MANUFACTURER,
    Identity,
    decimal,
    decimals,
    name_dimensions,
    refer_to,
    save,
    source_dataset,
)
from dras_model.outputs.dicom.slices import planes, slices_on
from dras_model.outputs.masks import LOW
from dras_model.outputs.stored import StoredResult
from dras_model.results.study import Region

SEG = "dras_seg.dcm"
KIND = "seg"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: what it is, and which label of which map; `region` is its name in the report, if it has one."""

    label: str
    category: Code
    property: Code
    side: Code | None
    rgb: tuple[int, int, int]
    value: int
    low: bool = False
    region: Region | None = None


# In this order, numbered from 1. The colours are those of the pictures (`outputs.pictures`).
SEGMENTS = (
    Segment("Right lung", ANATOMY, LUNG, RIGHT_SIDE, (76, 194, 255), RIGHT, region=Region.RIGHT),
    Segment("Left lung", ANATOMY, LUNG, LEFT_SIDE, (255, 180, 84), LEFT, region=Region.LEFT),
    Segment("Trachea and main bronchi", ANATOMY, AIRWAY_SITE, None, (126, 231, 135), AIRWAY),
    Segment("Low attenuation, -950 HU", ABNORMAL, private("laa-950"), None, (255, 77, 109), LOW, low=True),
)


def segment_number(region: Region) -> int | None:
    """Return the number of the segment that a region is, None where it is none."""
    return next((n for n, segment in enumerate(SEGMENTS, start=1) if segment.region is region), None)


def write_seg(path: Path, stored: StoredResult, source: SourceSeries) -> None:
    """Write the segmentation of a result on the slices of its source."""
    identity = Identity(source, stored.result)
    dataset = _modules(identity)
    frames = _frames(stored, source)
    put_sequence(dataset, 0x52009230, _groups(frames, source))  # Per-Frame Functional Groups
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = pack([frame.packed for frame in frames], source.rows * source.columns)
    dataset["PixelData"].VR = "OB"
    save(dataset, source, path)


def _modules(identity: Identity) -> hd.seg.Segmentation:
    """Return the object with one empty frame, which the real ones replace."""
    source = identity.source
    template = source_dataset(source)
    dataset = hd.seg.Segmentation(
        source_images=[template],
        pixel_array=np.zeros((1, source.rows, source.columns), dtype=np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_description(n, each, identity) for n, each in enumerate(SEGMENTS, start=1)],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="LUNGS",
        content_description="Lungs and low attenuation. Research use, not for diagnosis",
        series_description="dras: lungs and low attenuation",
        omit_empty_frames=False,
        **identity.arguments(KIND, KIND),
    )
    dataset.ContentCreatorName = ""  # type 2 (PS3.3 table 10-12), and highdicom leaves it out
    dataset.SegmentsOverlap = "YES"  # low attenuation lies within the lungs
    name_dimensions(dataset, identity.part_uid(KIND, "dimensions"))
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.pop("SpacingBetweenSlices", None)
    if (step_mm := source.regular_step_mm) is not None:
        measures.SpacingBetweenSlices = decimal(step_mm)
    refer_to(dataset, source)
    return dataset


def _description(number: int, segment: Segment, identity: Identity) -> hd.seg.SegmentDescription:
    provenance = identity.result.provenance
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=segment.category,
        segmented_property_type=segment.property,
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=MANUFACTURER,
            version=provenance.dras_version,
            family=ARTIFICIAL_INTELLIGENCE,
            parameters={"segmenter": str(provenance.parameters.get("segmenter", "builtin"))},
        ),
        tracking_id=segment.label.lower(),
        tracking_uid=identity.tracking_uid(segment.region or segment.label),
        anatomic_regions=[LUNG] if segment.low else None,
        display_color=hd.color.CIELabColor.from_rgb(*segment.rgb),
    )
    if segment.side is not None:
        modifier = hd.sr.CodedConcept.from_code(segment.side)
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return described


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame: its segment, its slice in the order of the source, and its pixels, eight a byte."""

    segment: int
    slice: int
    packed: bytes


def _frames(stored: StoredResult, source: SourceSeries) -> list[_Frame]:
    """Cut the labels of a result into frames: all slices of the first segment, then those of the next."""
    found: list[list[_Frame]] = [[] for _ in SEGMENTS]
    places = slices_on(stored.grid, source)
    lungs = planes(stored.lungs.labels, places)
    low = planes(stored.low_attenuation.labels, places)
    for n, (lung_plane, low_plane) in enumerate(zip(lungs, low, strict=True)):
        if not (lung_plane.any() or low_plane.any()):
            continue
        for number, (frames, segment) in enumerate(zip(found, SEGMENTS, strict=True), start=1):
            mask = (low_plane if segment.low else lung_plane) == segment.value
            if mask.any():
                frames.append(_Frame(number, n, np.packbits(mask, bitorder="little").tobytes()))
    empty = bytes(-(-source.rows * source.columns // 8))  # an object has at least one frame
    return [frame for frames in found for frame in frames] or [_Frame(1, 0, empty)]


def pack(frames: Sequence[bytes], n_pixels: int) -> bytes:
    """Join frames of `n_pixels` bits, which follow each other bit by bit (PS3.5 8.1.1), to an even length."""
    if n_pixels % 8 == 0:
        joined = b"".join(frames)
    else:
        joined = b"".join(_repacked(frames[n : n + 8], n_pixels) for n in range(0, len(frames), 8))
    return joined + bytes(len(joined) % 2)


def _repacked(frames: Sequence[bytes], n_pixels: int) -> bytes:
    """Eight frames of any size fill whole bytes."""
    bits = [np.unpackbits(np.frombuffer(f, np.uint8), count=n_pixels, bitorder="little") for f in frames]
    return np.packbits(np.concatenate(bits), bitorder="little").tobytes()


def _groups(frames: Sequence[_Frame], source: SourceSeries) -> Iterator[bytes]:
    """Yield the functional groups of every frame (PS3.3 C.7.6.16.2): source image, content, position, segment."""
    used = sorted({frame.slice for frame in frames})
    place = {n: index for index, n in enumerate(used, start=1)}
    origins = {n: encoded(_derivation(source, source.images[n])) for n in used}
    positions = {n: encoded(_plane_position(source.images[n])) for n in used}
    segments = {n: encoded(_identification(n)) for n in {frame.segment for frame in frames}}
    for frame in frames:
        index = unsigned_longs(0x00209157, frame.segment, place[frame.slice])  # Dimension Index Values
        content = sequence(0x00209111, index)  # Frame Content
        yield origins[frame.slice] + content + positions[frame.slice] + segments[frame.segment]


def _plane_position(image: SourceImage) -> Dataset:
    position = Dataset()
    position.ImagePositionPatient = decimals(image.position_mm)
    return _holding("PlanePositionSequence", position)


def _identification(segment: int) -> Dataset:
    identification = Dataset()
    identification.ReferencedSegmentNumber = segment
    return _holding("SegmentIdentificationSequence", identification)


def _derivation(source: SourceSeries, image: SourceImage) -> Dataset:
    """Say which image a frame was made of (PS3.3 C.7.6.16.2.6)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.sop_class_uid
    reference.ReferencedSOPInstanceUID = image.sop_instance_uid
    if image.frame is not None:
        reference.ReferencedFrameNumber = image.frame
    reference.PurposeOfReferenceCodeSequence = [hd.sr.CodedConcept.from_code(SOURCE_IMAGE)]
    reference.SpatialLocationsPreserved = "YES"
    derivation = Dataset()
    derivation.DerivationCodeSequence = [hd.sr.CodedConcept.from_code(SEGMENTATION)]
    derivation.SourceImageSequence = [reference]
    return _holding("DerivationImageSequence", derivation)


def _holding(keyword: str, item: Dataset) -> Dataset:
    dataset = Dataset()
    setattr(dataset, keyword, [item])
    return dataset
