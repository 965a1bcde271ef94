"""What a header says of the making of a scan; patient data written into free text stays there."""

import pytest
from pydicom.dataset import Dataset

from dras_model.imaging.acquisition import read_acquisition


def _read(**values: object):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return read_acquisition([dataset])


@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("CHEST INSP", "inspiration"),
        ("Thorax_Insp_1.0_B31f", "inspiration"),
        ("Lunge tiefe Einatmung", "inspiration"),
        ("THORAX INSPI FINE", "inspiration"),
        ("torace inspirazione", "inspiration"),
        ("Exspiration 1mm", "expiration"),
        ("EXP 0.75 Qr59", "expiration"),
        ("Lunge in Ausatmung", "expiration"),
        ("thorax expiratoire", "expiration"),
        ("torace espirazione", "expiration"),
        ("COPD FRC", "expiration"),
        ("Insp/Exsp", None),
        ("INSPECTION OF EXPLANT", None),
        ("Respiratory gated, expert", None),
        ("", None),
    ],
)
def test_a_breath_is_known_by_its_word_in_any_of_five_languages(description: str, phase: str | None) -> None:
    assert _read(SeriesDescription=description).phase_stated == phase


def test_the_series_decides_where_the_protocol_names_both_breaths() -> None:
    found = _read(SeriesDescription="Exsp 1.0", ProtocolName="Thorax Insp Exsp")
    assert found.phase_stated == "expiration"


@pytest.mark.parametrize(
    ("values", "mas"),
    [
        ({"Exposure": "150"}, 150.0),
        ({"Exposure": "3", "XRayTubeCurrent": "99", "ExposureTime": "500"}, 49.5),
        ({"XRayTubeCurrent": "200", "ExposureTime": "9000"}, None),  # nine seconds are a whole scan
        ({"ExposureInuAs": "120000"}, 120.0),
        ({"Exposure": "0"}, None),
        ({}, None),
    ],
)
def test_the_exposure_is_that_of_one_turn(values: dict[str, str], mas: float | None) -> None:
    assert _read(**values).exposure_mas == mas


@pytest.mark.parametrize(
    ("values", "iterative"),
    [
        ({"ReconstructionAlgorithm": "FILTER_BACK_PROJ"}, False),
        ({"ReconstructionAlgorithm": "ITERATIVE"}, True),
        ({"Manufacturer": "SIEMENS", "ConvolutionKernel": "B31f"}, False),
        ({"Manufacturer": "SIEMENS", "ConvolutionKernel": ["I31f", "3"]}, True),
        ({"Manufacturer": "SIEMENS", "ConvolutionKernel": ["Br40d", "3"]}, True),
        ({"Manufacturer": "SIEMENS", "ConvolutionKernel": "Br40d"}, None),
        ({"Manufacturer": "Philips", "FilterType": "iDose (4)"}, True),
        ({"Manufacturer": "GE MEDICAL SYSTEMS", "SeriesDescription": "LUNG ASIR-V 40%"}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "AIDR 3D"]}, True),
        ({"SeriesDescription": "LOW DOSE CHEST"}, None),
        ({}, None),
    ],
)
def test_iterative_reconstruction_is_told_only_where_something_says_so(
    values: dict[str, object], iterative: bool | None
) -> None:
    assert _read(**values).iterative is iterative


def test_the_scanner_is_a_digest_of_maker_model_and_serial_number() -> None:
    one = _read(Manufacturer="A", ManufacturerModelName="B", DeviceSerialNumber="12345").scanner_key
    same = _read(Manufacturer="A", ManufacturerModelName="B", DeviceSerialNumber="12345").scanner_key
    other = _read(Manufacturer="A", ManufacturerModelName="B", DeviceSerialNumber="12346").scanner_key
    assert one == same != other
    assert "12345" not in str(one)
    assert _read(Manufacturer="A", ManufacturerModelName="B").scanner_key is None


@pytest.mark.parametrize(
    ("sign", "bits", "intercept", "lowest"),
    [(0, 16, -1024.0, -1024.0), (1, 16, 0.0, -32768.0), (1, 12, 0.0, -2048.0), (0, 12, -1000.0, -1000.0)],
)
def test_the_lowest_hu_is_that_of_the_smallest_stored_value(
    sign: int, bits: int, intercept: float, lowest: float
) -> None:
    found = _read(
        PixelRepresentation=sign, BitsStored=bits, RescaleSlope="1", RescaleIntercept=str(intercept)
    )
    assert found.lowest_hu == lowest


def test_no_free_text_is_kept() -> None:
    found = _read(SeriesDescription="INSP Doe Jane", ImageComments="Doe Jane", ProtocolName="Doe Jane")
    assert "Doe" not in found.model_dump_json()


def test_what_is_told_by_frame_comes_before_what_is_told_by_the_file() -> None:
    frame, file = Dataset(), Dataset()
    frame.KVP, file.KVP = "100", "120"
    file.SliceThickness = "1.5"
    found = read_acquisition([frame, file])
    assert (found.kvp, found.slice_thickness_mm) == (100.0, 1.5)
