"""Write a volume as a CT series, so that phantoms enter the product the way patients do.

One file a slice, geometry from the volume's affine, UIDs and bytes determined by the options alone.
It makes test and demonstration series of invented patients; it is no way to store results.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSNearLossless,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from dras_model.imaging.phantom_jpeg import encode_lossless
from dras_model.imaging.volume import Grid, Volume

NATIVE_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_LOSSES: dict[str, dict[str, Any]] = {JPEG2000: {"j2k_psnr": [70.0]}, JPEGLSNearLossless: {"jls_error": 3}}
_STORAGE = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}

Edit = Callable[[Dataset, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOptions:
    """How the slices are described and packed; every default is that of a plain axial chest CT.

    `padding` is a stored value (not HU) that fills the corners outside the reconstruction circle;
    `file_name` is formatted with `index`, the slice's place along the volume's z axis from 0;
    `edit` may change each dataset, given that place, after everything else but the compression.
    """

    seed: int = 0
    series_number: int = 1
    modality: str = "CT"
    description: str = "CHEST INSP"
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")
    manufacturer: str = "PHANTOM"
    model_name: str = "DRAS PHANTOM"
    kernel: str | None = "STANDARD"
    kvp: float | None = 120.0
    contrast_agent: str | None = None
    patient_position: str = "HFS"
    slice_thickness_mm: float | None = None
    slope: float = 1.0
    intercept: float = -1024.0
    signed: bool = False
    padding: int | None = None
    transfer_syntax: str = ExplicitVRLittleEndian
    instance_numbers: Literal["ascending", "descending", "shuffled", "missing"] = "ascending"
    file_name: str = "IM{index:04d}.dcm"
    edit: Edit | None = None


def write_series(volume: Volume, folder: Path, options: SeriesOptions | None = None) -> list[Path]:
    """Write one file a slice of `volume` into `folder`, made if absent; return the paths in z order."""
    options = options or SeriesOptions()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, dataset in enumerate(series_datasets(volume, options)):
        path = folder / options.file_name.format(index=index)
        dataset.save_as(
            path,
            implicit_vr=options.transfer_syntax == ImplicitVRLittleEndian,
            little_endian=options.transfer_syntax != ExplicitVRBigEndian,
            enforce_file_format=True,
        )
        paths.append(path)
    return paths


def series_datasets(volume: Volume, options: SeriesOptions | None = None) -> Iterator[Dataset]:
    """Yield the slices of `volume` in z order as datasets ready to be saved or sent."""
    options = options or SeriesOptions()
    numbers = _instance_numbers(volume.grid.shape[0], options)
    for index in range(volume.grid.shape[0]):
        dataset = _described(volume.grid, index, options)
        if numbers is not None:
            dataset.InstanceNumber = int(numbers[index])
        _put_pixels(dataset, _stored(volume.hu[index], options), options)
        if options.edit is not None:
            options.edit(dataset, index)
        if options.transfer_syntax not in NATIVE_SYNTAXES:
            _compress(dataset, options.transfer_syntax)
        yield dataset


def _described(grid: Grid, index: int, options: SeriesOptions) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    _put_identity(dataset, index, options)
    _put_acquisition(dataset, grid, options)
    _put_geometry(dataset, grid, index)
    return dataset


def _put_identity(dataset: Dataset, index: int, options: SeriesOptions) -> None:
    """Patient, study, series and instance of an invented person (PS3.3 C.7.1 to C.7.3, C.12.1)."""
    study = f"dras phantom {options.seed}"
    series = f"{study} {options.series_number}"
    dataset.SOPClassUID = _STORAGE.get(options.modality, CTImageStorage)
    dataset.SOPInstanceUID = _uid(series, f"instance {index}")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    native = options.transfer_syntax in NATIVE_SYNTAXES
    dataset.file_meta.TransferSyntaxUID = UID(options.transfer_syntax) if native else ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = _uid("dras phantom implementation")
    dataset.PatientName = f"PHANTOM^{options.seed}"
    dataset.PatientID = f"PHANTOM{options.seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.StudyInstanceUID = _uid(study, "study")
    dataset.StudyID = "1"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20000101"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = "120000"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.SeriesInstanceUID = _uid(series, "series")
    dataset.SeriesNumber = options.series_number
    dataset.FrameOfReferenceUID = _uid(study, "frame of reference")
    dataset.PositionReferenceIndicator = ""


def _put_acquisition(dataset: Dataset, grid: Grid, options: SeriesOptions) -> None:
    """How the scan was made (PS3.3 C.7.5.1, C.7.6.4, C.8.2.1)."""
    dataset.Modality = options.modality
    dataset.ImageType = list(options.image_type)
    dataset.SeriesDescription = options.description
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = options.patient_position
    dataset.Manufacturer = options.manufacturer
    dataset.ManufacturerModelName = options.model_name
    dataset.AcquisitionNumber = 1
    thickness_mm = options.slice_thickness_mm
    dataset.SliceThickness = _decimal(grid.spacing_mm[0] if thickness_mm is None else thickness_mm)
    if options.kernel is not None:
        dataset.ConvolutionKernel = options.kernel
    if options.kvp is not None:
        dataset.KVP = _decimal(options.kvp)
    if options.contrast_agent is not None:
        dataset.ContrastBolusAgent = options.contrast_agent


def _put_geometry(dataset: Dataset, grid: Grid, index: int) -> None:
    """Position, orientation and spacing of one slice (PS3.3 C.7.6.2.1.1)."""
    _, spacing_y_mm, spacing_x_mm = grid.spacing_mm
    along_x = grid.affine[:3, 2] / spacing_x_mm
    along_y = grid.affine[:3, 1] / spacing_y_mm
    dataset.ImageOrientationPatient = [_decimal(c) for c in (*along_x, *along_y)]
    dataset.ImagePositionPatient = [_decimal(c) for c in grid.to_world(np.array([index, 0, 0]))]
    dataset.PixelSpacing = [_decimal(spacing_y_mm), _decimal(spacing_x_mm)]


def _put_pixels(dataset: Dataset, stored: NDArray[np.integer], options: SeriesOptions) -> None:
    """The image plane of stored values and its rescale to HU (PS3.3 C.7.6.3, C.8.2.1)."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(options.signed)
    if options.padding is not None:
        dataset.add_new("PixelPaddingValue", "SS" if options.signed else "US", options.padding)
    dataset.RescaleSlope = _decimal(options.slope)
    dataset.RescaleIntercept = _decimal(options.intercept)
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = "-600", "1500"
    big = options.transfer_syntax == ExplicitVRBigEndian
    dataset.add_new(
        "PixelData", "OW", stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
    )


def _compress(dataset: Dataset, transfer_syntax: str) -> None:
    if transfer_syntax == JPEGLosslessSV1:
        frame = encode_lossless(dataset.pixel_array)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        return
    loss = _LOSSES.get(transfer_syntax, {})
    dataset.compress(transfer_syntax, generate_instance_uid=False, **loss)
    if loss:
        dataset.LossyImageCompression = "01"


def _stored(hu: NDArray[np.float32], options: SeriesOptions) -> NDArray[np.integer]:
    """Return the stored values (y, x) of a slice, clipped to sixteen bits; padding fills the corners."""
    kind = np.iinfo(np.int16 if options.signed else np.uint16)
    stored = np.rint((hu.astype(np.float64) - options.intercept) / options.slope)
    stored = stored.clip(kind.min, kind.max)
    if options.padding is not None:
        y, x = np.meshgrid(*[np.linspace(-1.0, 1.0, n) for n in hu.shape], indexing="ij")
        stored[y**2 + x**2 > 1.0] = options.padding
    return stored.astype(kind.dtype)


def _instance_numbers(n_slices: int, options: SeriesOptions) -> NDArray[np.int64] | None:
    ascending = np.arange(1, n_slices + 1)
    match options.instance_numbers:
        case "ascending":
            return ascending
        case "descending":
            return ascending[::-1]
        case "shuffled":
            return np.random.default_rng(options.seed).permutation(ascending)
        case "missing":
            return None


def _decimal(value: float) -> str:
    """Return a decimal string (PS3.5 6.2): at most 16 characters, exact for what fits."""
    text = np.format_float_positional(float(value) + 0.0, precision=10, trim="-")
    return text if len(text) <= 16 else f"{value:.9e}"


def _uid(*entropy: str) -> UID:
    return generate_uid(entropy_srcs=list(entropy))
