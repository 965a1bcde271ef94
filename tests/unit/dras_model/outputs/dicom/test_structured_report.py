from collections.abc import Iterator
from pathlib import Path

import highdicom as hd
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as Concept

from dras_model.imaging.source_series import SourceSeries
from dras_model.outputs.dicom.codes import private, score_concept, unit
from dras_model.outputs.dicom.objects import Identity
from dras_model.outputs.dicom.structured_report import write_sr
from dras_model.outputs.dicom.wording import definitions, region_name, warning_code
from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.study import Region, Score, StudyResult, StudyWarning
from unit.dras_model.outputs.dicom.scenes import source_series


@pytest.fixture(scope="module")
def source() -> SourceSeries:
    return source_series()


DOCUMENTS: list[Dataset] = []


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sr") / "sr.dcm"


@pytest.fixture
def told(result: StudyResult) -> StudyResult:
    """Raw and harmonised scores, some without a value, some with details, with awkward numbers among them."""
    scores: list[Score] = []
    for n, score in enumerate(result.scores):
        value = None if n % 7 == 3 else (score.value or 0.0) / 3.0 * (-1.0 if n % 2 else 1.0)
        reason = "no reference volume was given" if value is None else None
        details = {"r_squared": 1.0 / 3.0, "n_clusters": 93.0} if score.code == "LAC-D" else {}
        told = score.model_copy(
            update={
                "value": value,
                "reason": reason,
                "details": details,
                "definition": f"what {score.code} is",
            }
        )
        scores.append(told)
        if score.code.startswith("LAA"):
            scores.append(told.model_copy(update={"image": "harmonised", "warnings": (Code.HU_FLOOR,)}))
    return result.model_copy(
        update={
            "scores": tuple(scores),
            "regions": {Region.WHOLE: "both", Region.CORE: "the inner part"},
            "warnings": (
                *result.warnings,
                StudyWarning.of(Code.HIGH_NOISE, severe=True, noise_hu=60, limit_hu=30),
            ),
        }
    )


@pytest.fixture
def document(told: StudyResult, source: SourceSeries, written: Path) -> Dataset:
    """Read once, as nothing changes it."""
    if not written.exists():
        write_sr(written, told, source)
        DOCUMENTS.append(pydicom.dcmread(written))
    return DOCUMENTS[-1]


def _named(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def _children(item: Dataset, name: str) -> list[Dataset]:
    return [child for child in item.get("ContentSequence", []) if _named(child) == name]


def _groups(document: Dataset) -> list[Dataset]:
    return _children(_children(document, "Imaging Measurements")[0], "Measurement Group")


def _walk(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in item.get("ContentSequence", []):
        yield from _walk(child)


def _key(group: Dataset) -> tuple[str, str]:
    method = _children(group, "Measurement Method")[0].ConceptCodeSequence[0].CodeValue
    return str(_children(group, "Tracking Identifier")[0].TextValue), str(method).removeprefix("image-")


def _concept(code: Dataset) -> Concept:
    return Concept(code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning)


def test_every_score_with_a_value_is_a_number_of_its_group_bit_by_bit(
    told: StudyResult, document: Dataset
) -> None:
    found = {}
    for group in _groups(document):
        for item in group.ContentSequence:
            if item.ValueType == "NUM" and _named(item) != "Number of voxels measured":
                derivation = _children(item, "Derivation")
                named = _concept(item.ConceptNameCodeSequence[0])
                of = _concept(derivation[0].ConceptCodeSequence[0]) if derivation else None
                value = item.MeasuredValueSequence[0]
                key = (*_key(group), named, of)
                assert key not in found
                measured = _concept(value.MeasurementUnitsCodeSequence[0])
                found[key] = (value.FloatingPointValue, float(value.NumericValue), measured)
    expected = {}
    for score in told.scores:
        if score.value is not None:
            concept = score_concept(score.code)
            key = (region_name(score.region), score.image, concept.name, concept.derivation)
            expected[key] = (score.value, pytest.approx(score.value, rel=1e-9), unit(score.unit))
    assert found == expected


def test_highdicom_reads_the_same_numbers_by_tracking_uid(
    told: StudyResult, document: Dataset, source: SourceSeries
) -> None:
    report = hd.sr.EnhancedSR.from_dataset(document).content
    identity = Identity(source, told)
    for region in (Region.RIGHT, Region.PEEL):
        groups = [
            *report.get_image_measurement_groups(tracking_uid=identity.tracking_uid(region)),
            *report.get_volumetric_roi_measurement_groups(tracking_uid=identity.tracking_uid(region)),
        ]
        raw = next(g for g in groups if g.method == private("image-raw"))
        for score in told.scores:
            if (score.region, score.image) == (region, "raw") and score.value is not None:
                concept = score_concept(score.code)
                measured = [
                    m for m in raw.get_measurements(name=concept.name) if m.derivation == concept.derivation
                ]
                assert [m.value for m in measured] == [score.value]


def test_a_score_without_a_value_is_told_with_its_reason_and_is_no_number(
    told: StudyResult, document: Dataset
) -> None:
    """highdicom and viewers take a number from each NUM item, where an empty one has none."""
    assert all(
        len(item.MeasuredValueSequence) == 1 for item in _walk(document) if item.get("ValueType") == "NUM"
    )
    found = {
        (*_key(group), _concept(item.ConceptNameCodeSequence[0])): _children(item, "Comment")[0].TextValue
        for group in _groups(document)
        for item in group.ContentSequence
        if item.ValueType == "CODE" and item.ConceptCodeSequence[0].CodeValue == "114007"
    }
    missing = {
        (region_name(s.region), s.image, score_concept(s.code).name): s.reason
        for s in told.scores
        if s.value is None
    }
    assert found == missing


def test_the_lungs_refer_to_the_segments_of_the_seg_of_the_same_result_and_no_other_region_does(
    told: StudyResult, document: Dataset, source: SourceSeries
) -> None:
    seen = {}
    for group in _groups(document):
        for item in _children(group, "Referenced Segment"):
            reference = item.ReferencedSOPSequence[0]
            assert reference.ReferencedSOPInstanceUID == Identity(source, told).instance_uid("seg")
            seen[_key(group)[0]] = int(reference.ReferencedSegmentNumber)
            assert group.ContentTemplateSequence[0].TemplateIdentifier == "1411"
    assert seen == {"right lung": 1, "left lung": 2}


def test_a_region_has_one_tracking_uid_for_both_images_and_no_two_regions_share_one(
    document: Dataset,
) -> None:
    uids: dict[str, set[str]] = {}
    for group in _groups(document):
        uid = _children(group, "Tracking Unique Identifier")[0].UID
        uids.setdefault(_key(group)[0], set()).add(uid)
    assert len(uids) == len(Region)
    assert all(len(found) == 1 for found in uids.values())
    assert len(set.union(*uids.values())) == len(Region)


def test_sites_and_sides_are_coded_and_tell_the_regions_apart(document: Dataset) -> None:
    sites = {}
    for group in _groups(document):
        site = _children(group, "Finding Site")[0]
        told = [_concept(site.ConceptCodeSequence[0])]
        for name in ("Laterality", "Topographical modifier"):
            told += [_concept(child.ConceptCodeSequence[0]) for child in _children(site, name)]
        sites[_key(group)[0]] = tuple(told)
    assert len(set(sites.values())) == len(sites)
    assert {code.scheme_designator for site in sites.values() for code in site} == {"SCT"}
    assert [code.meaning for code in sites["right apical third"]] == ["Upper zone of lung", "Right"]
    assert [code.meaning for code in sites["peel of both lungs"]] == ["Lung", "Bilateral", "Peripheral"]


def test_each_warning_of_a_score_is_told_once_a_group_with_the_scores_that_carry_it(
    told: StudyResult, document: Dataset
) -> None:
    found = {
        (*_key(group), item.ConceptCodeSequence[0].CodeMeaning): _children(item, "Comment")[0].TextValue
        for group in _groups(document)
        for item in _children(group, "Warning")
    }
    expected: dict[tuple[str, str, str], list[str]] = {}
    for score in told.scores:
        for code in score.warnings:
            key = (region_name(score.region), score.image, warning_code(code).meaning)
            expected.setdefault(key, []).append(score.code)
    assert found == {key: f"Of {', '.join(codes)}" for key, codes in expected.items()}


def test_the_whole_document_ends_in_notice_warnings_provenance_and_definitions(
    told: StudyResult, document: Dataset
) -> None:
    last = document.ContentSequence[-1]
    assert _named(last) == "Qualitative Evaluations"
    assert [item.TextValue for item in _children(last, "Notice")] == ["Research use only. Not for diagnosis."]
    warnings = _children(last, "Warning")
    assert [_children(item, "Comment")[0].TextValue for item in warnings] == [
        told.warnings[0].message,
        f"Severe. {told.warnings[1].message}",
    ]
    provenance = " ".join(item.TextValue for item in _children(last, "Provenance"))
    assert told.provenance.weights.encoder_sha256 in provenance
    assert told.provenance.input_sha256 in provenance
    assert "untrained" in provenance
    lines = [item.TextValue for item in _children(last, "Definition of a measurement")]
    assert lines == definitions(told)
    assert len([line for line in lines if line.startswith("Low")]) == 0


def test_it_rests_on_every_image_that_was_measured_and_on_the_seg(
    document: Dataset, told: StudyResult, source: SourceSeries
) -> None:
    study = document.CurrentRequestedProcedureEvidenceSequence[0]
    assert study.StudyInstanceUID == source.study_instance_uid
    images, segments = study.ReferencedSeriesSequence
    named = [item.ReferencedSOPInstanceUID for item in images.ReferencedSOPSequence]
    assert named == [image.sop_instance_uid for image in source.images]
    assert [item.ReferencedSOPInstanceUID for item in segments.ReferencedSOPSequence] == [
        Identity(source, told).instance_uid("seg")
    ]


def test_method_algorithm_and_observer_are_named(document: Dataset, told: StudyResult) -> None:
    for group in _groups(document):
        assert _children(group, "Algorithm Name")[0].TextValue == "dras"
        assert _children(group, "Algorithm Version")[0].TextValue == told.provenance.dras_version
    assert _children(document, "Device Observer Name")[0].TextValue == "dras"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert document.VerificationFlag == "UNVERIFIED"


def test_written_twice_it_is_the_same_bytes_whatever_the_run_took(
    told: StudyResult, source: SourceSeries, document: Dataset, written: Path, tmp_path: Path
) -> None:
    slower = told.model_copy(update={"timings": {"total": 99.0}})
    write_sr(tmp_path / "again.dcm", slower, source)
    assert (tmp_path / "again.dcm").read_bytes() == written.read_bytes()


def test_every_warning_has_a_meaning_in_words_of_at_most_64_characters() -> None:
    for code, entry in CODES.items():
        if entry.kind is Kind.WARNING:
            meaning = warning_code(code).meaning
            assert 0 < len(meaning) <= 64
            assert "_" not in meaning
    assert warning_code(Code.KVP_NOT_120).meaning == "kVp not 120"
