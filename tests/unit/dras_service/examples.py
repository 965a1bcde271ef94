"""Hand-made results and parts of a service; nothing here computes."""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from dras_model.results.codes import Code
from dras_model.results.progress import Report
from dras_model.results.study import (
    Acquisition,
    Candidate,
    Geometry,
    LungQuality,
    PatchQuality,
    Provenance,
    Quality,
    Record,
    Region,
    RegistrationQuality,
    Score,
    Stage,
    StudyResult,
    StudyWarning,
    WeightsProvenance,
)
from dras_service.api.bundles import BundleView
from dras_service.api.queues import JobQueue
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.rows import Artifact, Claim, Job, Order, Outputs, StoredStudy
from dras_service.store.schema import DEFAULT_TENANT
from dras_service.store.store import Store

UNIT_MATRIX = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def study_result() -> StudyResult:
    warning = StudyWarning.of(Code.UNTRAINED_WEIGHTS, seed=0)
    return StudyResult(
        status="succeeded_with_warnings",
        series_instance_uid="1.2.3",
        candidates=(
            Candidate(
                series_instance_uid="1.2.3", modality="CT", n_images=60, chosen=True, reason="the only one"
            ),
        ),
        acquisition=Acquisition(kernel="B", slice_thickness_mm=5.0),
        geometry=Geometry(
            size_xyz=(64, 64, 60),
            spacing_xyz_mm=(5.0, 5.0, 5.0),
            orientation="LPS",
            affine_lps_mm=UNIT_MATRIX,
        ),
        scores=(
            _score("LAA-950insp", 12.5, Region.WHOLE),
            _score("LAA-950insp", 10.0, Region.RIGHT),
            _score("Perc15", None, Region.WHOLE, reason="no voxel"),
        ),
        warnings=(warning,),
        qc=Quality(
            lungs=_zeros(LungQuality),
            registration=_zeros(RegistrationQuality, matrix=UNIT_MATRIX),
            patches=_zeros(PatchQuality),
        ),
        timings={"read": 0.5, "total": 3.0, "peak_rss_mb": 400.0},
        provenance=_provenance(),
    )


def _provenance() -> Provenance:
    return Provenance(
        dras_version="0",
        libraries={},
        device="cpu",
        input_sha256="0" * 64,
        weights=WeightsProvenance(
            name="untrained-0",
            training="untrained",
            encoder_sha256="0" * 64,
            atlas="builtin",
            atlas_sha256="0" * 64,
        ),
        parameters={},
    )


def _zeros(model: type[Record], **given: Any) -> Any:
    """A record of numbers whose values do not matter here; what may be missing is."""
    rest = {
        name: None if NoneType in get_args(field.annotation) else field.annotation()
        for name, field in model.model_fields.items()
        if field.is_required() and name not in given
    }
    return model(**given, **rest)


def _score(code: str, value: float | None, region: Region, *, reason: str | None = None) -> Score:
    return Score(
        code=code,
        value=value,
        unit="%",
        region=region,
        n_voxels=1000,
        volume_ml=100.0,
        definition="share of lung voxels",
        reference="",
        reason=reason,
    )


def bundle_view(name: str = "drasclr", *, is_default: bool = False) -> BundleView:
    return BundleView(
        name=name,
        is_default=is_default,
        training="untrained",
        atlas="builtin",
        n_patches=581,
        embedding_size=128,
        signature="unsigned",
        licence="MIT",
        intended_use="None.",
        sha256="0" * 64,
        max_difference=1e-4,
        device="cpu",
    )


def stored_study(content: str = "a", *, tenant: str = DEFAULT_TENANT) -> StoredStudy:
    return StoredStudy(key=f"{tenant}/{content * 64}", sha256=content * 64, size_bytes=10, n_files=1)


def submit(store: Store, content: str = "a", *, tenant: str = DEFAULT_TENANT, **order: Any) -> Job:
    """A job of its own, even where the same was asked before."""
    order = {"repeat": True} | order
    return store.submission.submit(stored_study(content, tenant=tenant), Order(**order), tenant=tenant).job


def find(store: Store, job_id: str, *, tenant: str = DEFAULT_TENANT) -> Job:
    found = store.jobs.find(job_id, tenant=tenant)
    assert found is not None
    return found


def claim_of(store: Store, *, lease_s: float = 60.0, owner: str = "me", **order: Any) -> Claim:
    """A new job in a worker's hands; nothing else may be waiting."""
    job = submit(store, **order)
    claim = store.leases.claim(owner=owner, lease_s=lease_s)
    assert claim is not None
    assert claim.job_id == job.id
    return claim


def outputs_of(claim: Claim) -> Outputs:
    return Outputs(
        f"{claim.job_id}-{claim.fence}", (Artifact("result.json", "application/json", 2, "0" * 64),)
    )


def dicom_image(
    study_uid: str,
    instance_uid: str,
    *,
    sop_class: str = "1.2.840.10008.5.1.4.1.1.2",
    series_uid: str | None = None,
    modality: str = "",
    study_date: str = "",
) -> bytes:
    """The least of an image that a door looks at: a meta group and some values, explicit VR little endian."""

    def element(group: int, number: int, text: str, vr: bytes = b"UI") -> bytes:
        padding = b"\0" if vr == b"UI" else b" "
        value = text.encode() + padding * (len(text) % 2)
        return struct.pack("<HH2sH", group, number, vr, len(value)) + value

    return b"".join(
        (
            bytes(128) + b"DICM",
            element(0x0002, 0x0010, "1.2.840.10008.1.2.1"),
            element(0x0008, 0x0016, sop_class),
            element(0x0008, 0x0018, instance_uid),
            element(0x0008, 0x0020, study_date, b"DA") if study_date else b"",
            element(0x0008, 0x0060, modality, b"CS") if modality else b"",
            element(0x0020, 0x000D, study_uid),
            element(0x0020, 0x000E, series_uid or f"{study_uid}.1"),
        )
    )


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class FakeEngine:
    """Stands in for the pipeline: reports, then writes two files, or does what a test says first."""

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.first = first
        self.sources: list[Path] = []
        self.bundles: list[str | None] = []
        self.options: list[Mapping[str, Any]] = []

    def __call__(
        self,
        source: Path,
        out: Path,
        *,
        series_uid: str | None,
        bundle: str | None,
        options: Mapping[str, Any],
        report: Report,
    ) -> StudyResult:
        self.sources.append(source)
        self.bundles.append(bundle)
        self.options.append(options)
        report(Stage.READ, 0.0)
        self.first()
        report(Stage.ENCODE, 0.5)
        out.mkdir()
        (out / "result.json").write_text("{}")
        (out / "feature_map.nii.gz").write_bytes(b"nifti")
        report(Stage.OUTPUTS, 1.0)
        return study_result()


class Hints:
    """Stands in for the broker: remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, job_id: str, _queue: JobQueue = JobQueue.STUDY) -> None:
        self.sent.append(job_id)

    def check(self) -> None:
        pass


class Parts:
    """The parts of one service over one temporary folder."""

    def __init__(self, *, store: Store, blobs: BlobStore, settings: Settings, clock: Clock) -> None:
        self.store = store
        self.blobs = blobs
        self.settings = settings
        self.clock = clock
        self.hints = Hints()
