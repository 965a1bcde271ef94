from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from dras_model.outputs.dicom.objects import (
    Identity,
    content_time,
    decimal,
    instance_references,
    source_dataset,
)
from dras_model.results.study import Region, StudyResult
from unit.dras_model.outputs.dicom.scenes import source_series


@given(st.floats(-1e12, 1e12))
def test_a_decimal_string_has_at_most_16_characters_and_is_the_nearest_such_number(value: float) -> None:
    text = decimal(value)
    assert len(text) <= 16
    assert set(text) <= set("0123456789+-.e")
    assert abs(float(text) - value) <= 1e-8 * abs(value)


@given(st.decimals(-99999, 99999, places=6))
def test_what_was_a_decimal_string_is_the_same_number_again(number: Decimal) -> None:
    assert float(decimal(float(number))) == float(number)


def test_uids_are_valid_and_differ_by_kind_source_and_result_but_not_by_timings(result: StudyResult) -> None:
    identity = Identity(source_series(), result)
    other_source = Identity(source_series(series_instance_uid="1.2.3.44"), result)
    other_result = Identity(source_series(), result.model_copy(update={"status": "partial"}))
    uids = [
        each
        for who in (identity, other_source, other_result)
        for kind in ("sr", "seg", "map laa950")
        for each in (who.series_uid(kind), who.instance_uid(kind), who.part_uid(kind, "dimensions"))
    ]
    assert len(set(uids)) == len(uids)
    assert all(UID(uid).is_valid and uid.startswith("2.25.") for uid in uids)
    slower = Identity(source_series(), result.model_copy(update={"timings": {"total": 3.0}}))
    assert slower.instance_uid("sr") == identity.instance_uid("sr")


def test_a_region_keeps_its_tracking_uid_in_another_result_of_the_same_series(result: StudyResult) -> None:
    again = Identity(source_series(), result.model_copy(update={"status": "partial"}))
    assert again.tracking_uid(Region.RIGHT) == Identity(source_series(), result).tracking_uid(Region.RIGHT)
    elsewhere = Identity(source_series(series_instance_uid="1.9"), result)
    assert elsewhere.tracking_uid(Region.RIGHT) != again.tracking_uid(Region.RIGHT)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"AcquisitionDate": "20010102", "StudyDate": "19990101"}, ("20010102", "000000")),
        ({"SeriesDate": "20010102", "SeriesTime": "1030", "AcquisitionDate": ""}, ("20010102", "1030")),
        ({"StudyDate": "19990101", "StudyTime": "", "AcquisitionTime": "11"}, ("19990101", "000000")),
        ({}, ("19000101", "000000")),
    ],
)
def test_date_and_time_are_of_one_level_the_nearest_to_the_scan(
    attributes: dict[str, str], expected: tuple[str, str]
) -> None:
    assert content_time(source_series(attributes=attributes)) == expected


def test_a_deidentified_source_has_a_method_stated_or_not() -> None:
    assert "DeidentificationMethod" not in source_dataset(source_series())
    stated = {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "by hand"}
    assert source_dataset(source_series(attributes=stated)).DeidentificationMethod == "by hand"
    stated.pop("DeidentificationMethod")
    assert (
        source_dataset(source_series(attributes=stated)).DeidentificationMethod == "not stated by the source"
    )


def test_an_instance_of_many_frames_is_referred_to_once() -> None:
    images = [{"sop_instance_uid": "1.2", "frame": n, "position_mm": (0, 0, n)} for n in (1, 2, 3)]
    references = instance_references(source_series(images=images))
    assert [reference.ReferencedSOPInstanceUID for reference in references] == ["1.2"]
