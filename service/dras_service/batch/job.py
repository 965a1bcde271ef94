"""The batch file: which studies, how they are computed and where; TOML, checked as a whole before anything starts.

Paths in it are relative to the file. A fault is one sentence that names the key.
"""

from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.written import Unreadable, read_toml
from dras_model.scores.limits import Limits
from dras_service.api.options import LEAST_PRIORITY, MOST_PRIORITY, JobOptions
from dras_service.pacs.configuration import FORMS, Form

_FOLDER = "folder"  # in the context of a validation: where the file lies
_LOCAL_ONLY = ("atlas", "segmenter")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pacs(_Section):
    """A PACS that is asked for studies, as `dras pacs find` asks it."""

    config: Path = Field(description="pacs.toml, which knows the PACS")
    peer: str = Field(description="its name there")
    patient_id: str | None = Field(None, description="* and ? stand for anything")
    accession_number: str | None = None
    description: str | None = Field(None, description="of the study; * and ? stand for anything")
    since: date | None = None
    until: date | None = Field(None, description="the day itself included")
    modality: str = Field(
        "CT", pattern=r"^[A-Z]{0,16}$", description="of any series in the study; '' for all"
    )
    patience_s: float = Field(600.0, ge=0, description="for a PACS that is away, before the batch stops")

    @field_validator("config")
    @classmethod
    def _beside_the_file(cls, path: Path, info: ValidationInfo) -> Path:
        return _placed(path, info)


class Source(_Section):
    """Where the studies are: a tree of files, a PACS, a table that names them, or their UIDs in one of both."""

    folder: Path | None = Field(
        None, description="of DICOM, NIfTI, zip and tar files, in any order and depth"
    )
    manifest: Path | None = Field(None, description="CSV with a column path or StudyInstanceUID")
    pacs: Pacs | None = None

    @field_validator("folder", "manifest")
    @classmethod
    def _beside_the_file(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        return None if path is None else _placed(path, info)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.folder is None and self.manifest is None and self.pacs is None:
            raise ValueError("name a folder, a manifest or a pacs")
        if self.folder is not None and self.pacs is not None:
            raise ValueError("give a folder or a pacs, not both")
        return self


class Options(JobOptions):
    """What is asked of every study, as of `dras extract`."""

    bundle: str | None = Field(None, description="model bundle: a name or a path, of a service a name")
    atlas: str | None = Field(None, description="a name or a path; the bundle's by default")
    segmenter: str | None = Field(None, description="a lung segmenter as module:function; ours by default")

    @field_validator("limits")
    @classmethod
    def _are_limits(
        cls, limits: dict[str, float | tuple[float, float]]
    ) -> dict[str, float | tuple[float, float]]:
        """Check the names; Limits says what is wrong with one."""
        Limits.model_validate(limits)
        return limits

    @property
    def job(self) -> JobOptions:
        """What a service is asked for."""
        return JobOptions.model_validate(self.model_dump(include=set(JobOptions.model_fields)))


class Here(_Section):
    """Computing on this machine, by processes that are ended and replaced where they go wrong."""

    workers: int | None = Field(None, ge=1, description="processes; as cores and memory allow by default")
    memory_mb: int | None = Field(
        None, ge=1024, description="for all workers; four fifths of what is free by default"
    )
    time_limit_s: float = Field(1800.0, gt=0, description="for one study")
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = Field(
        None, ge=1, description="for the encoder of each worker; its cores by default"
    )


class Service(_Section):
    """Having a service compute, which may be many machines."""

    url: str = Field(pattern=r"^https?://", description="address of `dras serve`")
    key_file: Path | None = Field(None, description="file that holds the key; DRAS_API_KEY by default")
    in_flight: int = Field(
        8, ge=1, le=1000, description="studies that are sent, wait or are computed at once"
    )
    priority: int = Field(0, ge=LEAST_PRIORITY, le=MOST_PRIORITY)
    patience_s: float = Field(600.0, ge=0, description="for a service that is away, before the batch stops")

    @field_validator("key_file")
    @classmethod
    def _beside_the_file(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        return None if path is None else _placed(path, info)


class Send(_Section):
    """Sending the DICOM objects of results to systems that pacs.toml knows, beside the study that they are of."""

    config: Path = Field(description="pacs.toml, which knows the systems")
    to: tuple[str, ...] = Field(min_length=1, description="their names there")
    what: tuple[Form, ...] = Field(FORMS, min_length=1)
    patience_s: float = Field(600.0, ge=0, description="for a system that is away, once all is computed")

    @field_validator("config")
    @classmethod
    def _beside_the_file(cls, path: Path, info: ValidationInfo) -> Path:
        return _placed(path, info)


class Table(_Section):
    """The cohort's table, as `dras cohort` writes it."""

    rows: Literal["regions", "studies", "patches"] = "regions"
    embeddings: bool = Field(False, description="add the mean embedding to each study; for rows of studies")

    @model_validator(mode="after")
    def _embeddings_have_a_row(self) -> Self:
        if self.embeddings and self.rows != "studies":
            raise ValueError('embeddings belong to rows = "studies"')
        return self


class BatchJob(_Section):
    """The whole file."""

    out: Path = Field(description="folder of the results, made if absent; the same one goes on")
    source: Source
    options: Options = Options()
    here: Here | None = None
    service: Service | None = None
    send: Send | None = None
    table: Table = Table()

    @field_validator("out")
    @classmethod
    def _beside_the_file(cls, path: Path, info: ValidationInfo) -> Path:
        return _placed(path, info)

    @model_validator(mode="after")
    def _is_computed_in_one_place(self) -> Self:
        if self.here is not None and self.service is not None:
            raise ValueError("give [here] or [service], not both")
        asked = [name for name in _LOCAL_ONLY if getattr(self.options, name)]
        if self.service is not None and asked:
            raise ValueError(f"options.{asked[0]} cannot be asked of a service")
        return self

    @model_validator(mode="after")
    def _has_what_it_sends(self) -> Self:
        if self.send is None:
            return self
        if self.service is not None:
            raise ValueError("give [send] or [service], not both: a service sends by its routes")
        if not self.options.dicom:
            raise ValueError("what is sent are DICOM objects: ask for them by options.dicom = true")
        return self


def load_job(path: Path) -> BatchJob:
    """Read a batch file. Raises SetupRefused BATCH_INVALID, naming the key at fault."""
    try:
        return read_toml(path, BatchJob, context={_FOLDER: path.parent})
    except Unreadable as fault:
        raise SetupRefused(Code.BATCH_INVALID, name=path.name, reason=str(fault)) from fault


def _placed(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get(_FOLDER, Path())
    return folder / path.expanduser()
