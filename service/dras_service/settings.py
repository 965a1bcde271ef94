"""Settings, nested by topic, read from the environment once where a process starts.

`DRAS_<TOPIC>__<NAME>`, as in `DRAS_GATEWAY__PORT=8042`; `DRAS_DATA` is the one folder everything
lies in by default. The objects are passed down; nothing below reads the environment.
"""

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from dras_service.api.bundles import BundleName
from dras_service.errors import CannotServe

Seconds = Annotated[float, Field(gt=0)]


class _Topic(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreSettings(_Topic):
    """The database of jobs."""

    url: str | None = Field(None, description="SQLAlchemy URL; a SQLite file in the data folder by default")
    busy_timeout_s: Seconds = 30.0


class BlobSettings(_Topic):
    """Uploaded studies and the files of results."""

    folder: Path | None = Field(None, description="`blobs` in the data folder by default")


class QueueSettings(_Topic):
    """The broker of hints, and the sweeper that makes up for hints and workers lost."""

    url: str = "filesystem://"
    name: str = "studies"
    polling_interval_s: Seconds = 0.1
    hint_again_after_s: Seconds = 30.0
    sweep_interval_s: Seconds = 10.0


class GatewaySettings(_Topic):
    """The HTTP interface and its limits."""

    host: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535, description="0 takes a free one")
    max_upload_bytes: int = Field(8 << 30, gt=0)
    max_files: int = Field(20_000, gt=0)
    idle_timeout_s: Seconds = 60.0
    retry_after_s: Seconds = 1.0
    shutdown_grace_s: Seconds = 5.0


class WorkerSettings(_Topic):
    """The processes that compute."""

    processes: int = Field(1, ge=1)
    lease_s: Seconds = 60.0
    heartbeat_s: Seconds = Field(1.0, description="the least time between two progress updates")
    max_attempts: int = Field(3, ge=1)
    retry_delay_s: Seconds = Field(5.0, description="doubled with each further attempt")
    time_limit_s: Seconds = 1800.0
    max_tasks_per_child: int = Field(100, ge=1, description="a child is replaced after as many studies")
    shutdown_grace_s: Seconds = 10.0
    atlas: str | None = Field(None, description="name or path; the built-in one by default")
    bundle: str | None = Field(None, description="name or path; the atlas' default one by default")
    offered: tuple[str, ...] = Field((), description="further bundles that a job may choose: names or paths")
    encoders_mb: int = Field(2048, ge=1, description="room for opened encoders; one is kept in any case")
    segmenter: str | None = Field(None, description="a lung segmenter as module:function; ours by default")
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = Field(None, ge=1)

    @field_validator("offered")
    @classmethod
    def _names_choose(cls, offered: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """A bundle is chosen by its folder's name, so that each needs a name of its own that can be sent."""
        default = info.data.get("bundle")
        choices = dict.fromkeys(offered if default is None else (default, *offered))
        names = [Path(choice).name for choice in choices]
        for name in (Path(choice).name for choice in offered):
            TypeAdapter(BundleName).validate_python(name)
        if len(set(names)) < len(names):
            raise ValueError("two bundles have the same name")
        return offered


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        env_prefix="DRAS_", env_nested_delimiter="__", frozen=True, extra="ignore", validate_default=True
    )

    data: Path = Field(default_factory=lambda: platformdirs.user_data_path("dras", appauthor=False))
    log_level: str = "WARNING"
    store: StoreSettings = StoreSettings()
    blobs: BlobSettings = BlobSettings()
    queue: QueueSettings = QueueSettings()
    gateway: GatewaySettings = GatewaySettings()
    worker: WorkerSettings = WorkerSettings()

    @property
    def store_url(self) -> str:
        """Where the database is."""
        return self.store.url or f"sqlite:///{self.data / 'jobs.sqlite3'}"

    @property
    def blob_folder(self) -> Path:
        """Where blobs lie."""
        return self.blobs.folder or self.data / "blobs"

    @property
    def queue_folder(self) -> Path:
        """Where the `filesystem://` broker keeps its messages."""
        return self.data / "queue"

    def environment(self) -> dict[str, str]:
        """Return the variables from which another process reads these very settings."""
        topics = {name: getattr(self, name) for name in ("store", "blobs", "queue", "gateway", "worker")}
        variables = {f"DRAS_{name.upper()}": topic.model_dump_json() for name, topic in topics.items()}
        return variables | {"DRAS_DATA": str(self.data), "DRAS_LOG_LEVEL": self.log_level}


def read_settings() -> Settings:
    """Read the settings of this process from its environment. Raises CannotServe."""
    try:
        return Settings()
    except ValidationError as error:
        names = ", ".join(".".join(str(part) for part in fault["loc"]) for fault in error.errors())
        raise CannotServe("SETTINGS_INVALID", f"These settings are invalid: {names}.") from error
    except SettingsError as error:
        raise CannotServe("SETTINGS_INVALID", "A setting of several parts is no valid JSON.") from error
