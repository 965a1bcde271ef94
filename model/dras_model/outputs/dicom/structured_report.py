"""Every regional score as a DICOM Structured Report of TID 1500 (PS3.16), in an Enhanced SR (PS3.3 A.35.2).

One measurement group a region and image: TID 1411 where the region is a segment of our SEG, TID 1501
elsewhere. A score without a value is no NUM item, which readers take a number from, but an evaluation named
like the score, valued "Measurement not attempted", with its reason (decision 0027). The document ends in what
is said once: the notice, the warnings, the provenance and the definitions. No item refers to another, so that
the simplest SR class serves.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from dras_model.imaging.source_series import SourceSeries
from dras_model.outputs.dicom import segmentation
from dras_model.outputs.dicom.codes import (
    ANATOMY,
    COMMENT,
    CT,
    EVALUATIONS,
    LUNG,
    NOT_MEASURED,
    ONE,
    private,
    score_concept,
    site,
    unit,
)
from dras_model.outputs.dicom.objects import (
    MANUFACTURER,
    Identity,
    decimal,
    instance_references,
    save,
    source_dataset,
)
from dras_model.outputs.dicom.wording import definitions, provenance_lines, region_name, warning_code
from dras_model.results.codes import Code as Warned
from dras_model.results.study import Region, Score, StudyResult, StudyWarning

SR = "dras_sr.dcm"
KIND = "sr"
Group: TypeAlias = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations
_MODIFIES, _CONTAINS, _HAS = (
    RelationshipTypeValues.HAS_CONCEPT_MOD,
    RelationshipTypeValues.CONTAINS,
    RelationshipTypeValues.HAS_PROPERTIES,
)


def write_sr(path: Path, result: StudyResult, source: SourceSeries) -> None:
    """Write every score of a result; the segments referred to are those that `write_seg` writes of it."""
    identity = Identity(source, result)
    report = MeasurementReport(
        observation_context=_observer(identity),
        procedure_reported=CT,
        imaging_measurements=[_group(identity, scores) for scores in _grouped(result.scores)],
    )
    report[0].ContentSequence.append(_evaluations(result))
    document = EnhancedSR(
        evidence=[source_dataset(source)],
        content=_bare(report[0]),
        is_complete=True,
        is_final=False,
        series_description="dras: lung densitometry, research use",
        **identity.arguments(KIND, KIND),
    )
    document.ContentSequence = report[0].ContentSequence
    document.CurrentRequestedProcedureEvidenceSequence = [_evidence(identity)]
    save(document, source, path)


def _grouped(scores: Sequence[Score]) -> list[list[Score]]:
    """Return the measured scores of each region and image together, in the order of the result.

    What a head estimates has no concept of its own that a reader could know; it stays in `result.json`.
    """
    groups: dict[tuple[Region, str], list[Score]] = {}
    for score in scores:
        if score.kind == "measurement":
            groups.setdefault((score.region, score.image), []).append(score)
    return list(groups.values())


def _group(identity: Identity, scores: Sequence[Score]) -> Group:
    first = scores[0]
    found = site(first.region)
    arguments: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(
            uid=identity.tracking_uid(first.region), identifier=region_name(first.region)
        ),
        "finding_category": ANATOMY,
        "finding_type": LUNG,
        "finding_sites": [FindingSite(found.location, found.laterality, found.part)],
        "method": private(f"image-{first.image}"),
        "algorithm_id": AlgorithmIdentification(
            name=MANUFACTURER, version=identity.result.provenance.dras_version
        ),
        "measurements": _measurements(scores),
        "qualitative_evaluations": [
            QualitativeEvaluation(private("phase"), private(first.phase)),
            *_warnings(scores),
            *(_not_measured(score) for score in scores if score.value is None),
        ],
    }
    number = segmentation.segment_number(first.region)
    if number is None:
        return MeasurementsAndQualitativeEvaluations(**arguments)
    segment = ReferencedSegment(
        sop_class_uid=SegmentationStorage,
        sop_instance_uid=identity.instance_uid(segmentation.KIND),
        segment_number=number,
        source_series=SourceSeriesForSegmentation(identity.source.series_instance_uid),
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **arguments)


def _measurements(scores: Sequence[Score]) -> list[Measurement]:
    measured = [_measurement(score) for score in scores if score.value is not None]
    counts = sorted({score.n_voxels for score in scores})
    return [*(Measurement(private("n_voxels"), n, ONE) for n in counts), *measured]


def _measurement(score: Score) -> Measurement:
    """Return a value with what qualifies it. NumericValue has 16 characters, FloatingPointValue every bit."""
    concept = score_concept(score.code)
    if score.value is None:
        raise TypeError("a score without a value is no measurement")
    measurement = Measurement(concept.name, score.value, unit(score.unit), derivation=concept.derivation)
    value = measurement[0].MeasuredValueSequence[0]
    value.NumericValue = decimal(score.value)  # highdicom fills it up with zeros
    if score.details:
        told = ", ".join(f"{name} {value!r}" for name, value in score.details.items())
        _add(measurement[0], [TextContentItem(COMMENT, told, _HAS)])
    return measurement


def _not_measured(score: Score) -> QualitativeEvaluation:
    """Say that a score has no value, and why."""
    concept = score_concept(score.code)
    evaluation = QualitativeEvaluation(concept.name, NOT_MEASURED)
    children: list[ContentItem] = []
    if concept.derivation is not None:
        children.append(CodeContentItem(codes.DCM.Derivation, concept.derivation, _MODIFIES))
    children.append(TextContentItem(COMMENT, score.reason or "no reason was given", _HAS))
    _add(evaluation[0], children)
    return evaluation


def _warnings(scores: Sequence[Score]) -> list[QualitativeEvaluation]:
    """Return every warning of a group once, with the codes of the scores that carry it."""
    carriers: dict[Warned, list[str]] = {}
    for score in scores:
        for code in score.warnings:
            carriers.setdefault(code, []).append(score.code)
    found = []
    for code, of in carriers.items():
        evaluation = QualitativeEvaluation(private("warning"), warning_code(code))
        _add(evaluation[0], [TextContentItem(COMMENT, f"Of {', '.join(of)}", _HAS)])
        found.append(evaluation)
    return found


def _add(item: Dataset, children: Iterable[ContentItem]) -> None:
    children = list(children)
    if not children:
        return
    if "ContentSequence" not in item:
        item.ContentSequence = ContentSequence()
    item.ContentSequence.extend(children)


def _evaluations(result: StudyResult) -> ContainerContentItem:
    """Return what holds for the whole document (TID 1500 rows 12 to 14)."""
    container = ContainerContentItem(EVALUATIONS, relationship_type=_CONTAINS)
    items: list[ContentItem] = [TextContentItem(private("notice"), result.notice, _CONTAINS)]
    items += [_study_warning(warning) for warning in result.warnings]
    items += [TextContentItem(private("provenance"), line, _CONTAINS) for line in provenance_lines(result)]
    items += [TextContentItem(private("definition"), line, _CONTAINS) for line in definitions(result)]
    _add(container, items)
    return container


def _study_warning(warning: StudyWarning) -> CodeContentItem:
    item = CodeContentItem(private("warning"), warning_code(warning.code), _CONTAINS)
    severe = "Severe. " if warning.severity == "severe" else ""
    _add(item, [TextContentItem(COMMENT, severe + warning.message, _HAS)])
    return item


def _observer(identity: Identity) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=identity.part_uid(KIND, "device"),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=f"{MANUFACTURER} {identity.result.provenance.dras_version}",
        serial_number=identity.result.provenance.weights.encoder_sha256[:16],
    )
    return ObservationContext(ObserverContext(codes.DCM.Device, device))


def _bare(root: Dataset) -> Dataset:
    """Return the root of a tree without its branches, which highdicom would copy twice, item by item."""
    bare = Dataset()
    for element in root:
        if element.keyword != "ContentSequence":
            bare.add(element)
    bare.ContentSequence = root.ContentSequence[:1]
    return bare


def _evidence(identity: Identity) -> Dataset:
    """Name what the report rests on: every image that was measured, and the SEG (PS3.3 C.17.2.3)."""
    images = Dataset()
    images.ReferencedSOPSequence = instance_references(identity.source)
    images.SeriesInstanceUID = identity.source.series_instance_uid
    segments = Dataset()
    reference = Dataset()
    reference.ReferencedSOPClassUID = SegmentationStorage
    reference.ReferencedSOPInstanceUID = identity.instance_uid(segmentation.KIND)
    segments.ReferencedSOPSequence = [reference]
    segments.SeriesInstanceUID = identity.series_uid(segmentation.KIND)
    study = Dataset()
    study.ReferencedSeriesSequence = [images, segments]
    study.StudyInstanceUID = identity.source.study_instance_uid
    return study
