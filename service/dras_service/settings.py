"""Settings, nested by topic, read from the environment once where a process starts.

`DRAS_<TOPIC>__<NAME>`, as in `DRAS_GATEWAY__PORT=8042`; `DRAS_DATA` is the one folder everything
lies in by default. The objects are passed down; nothing below reads the environment.
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

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
from dras_service.api.queues import JobQueue
from dras_service.api.scopes import Scope
from dras_service.errors import CannotServe

Seconds = Annotated[float, Field(gt=0)]


class _Topic(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreSettings(_Topic):
    """The database of jobs."""

    url: str | None = Field(None, description="SQLAlchemy URL; a SQLite file in the data folder by default")
    busy_timeout_s: Seconds = 30.0
    keep_events_days: float = Field(7.0, gt=0, description="after which a client that was away starts anew")


class BlobSettings(_Topic):
    """Uploaded studies and the files of results."""

    folder: Path | None = Field(None, description="`blobs` in the data folder by default")
    url: str | None = Field(
        None,
        pattern=r"^s3://[^/]+",
        description="s3://bucket/prefix; then the folder holds rooms and copies only",
    )
    endpoint: str | None = Field(
        None, description="of the object store; AWS_ENDPOINT_URL, or AWS, by default"
    )
    region: str | None = Field(None, description="AWS_REGION by default")
    cache_mb: int = Field(20_480, ge=1, description="of copies from the object store on this machine")


class QueueSettings(_Topic):
    """The broker of hints, and the sweeper that makes up for hints and workers lost."""

    url: str = Field(
        "filesystem://",
        pattern=r"^(filesystem://|rediss?://[^/]+)",
        description="redis://host:6379/0, or filesystem:// of the data folder",
    )
    name: str = Field("studies", description="of the broker's queue; those of the stages are called after it")
    split: bool = Field(False, description="whether a new study goes through a queue for each stage")
    polling_interval_s: Seconds = 0.1
    socket_timeout_s: Seconds = Field(5.0, description="after which Redis is taken for away")
    hint_again_after_s: Seconds = 30.0
    sweep_interval_s: Seconds = 5.0
    remnant_age_s: Seconds = Field(3600.0, description="after which a file that nothing speaks of is removed")
    publish_interval_s: Seconds = Field(1.0, description="between two looks for hints whose time has come")


class DeliverySettings(_Topic):
    """How long somebody who is not reached, webhook or DICOM peer, is tried again."""

    first_pause_s: Seconds = Field(5.0, description="before a delivery is tried again; doubled each time")
    most_pause_s: Seconds = 3600.0
    max_attempts: int = Field(12, ge=1, description="before a delivery is given up as a dead letter")


class WebhookSettings(_Topic):
    """Whom the gateway tells of jobs that have ended."""

    allow: tuple[str, ...] = Field((), description="host names that may be told; *.example.org: all below it")
    allow_private: bool = Field(False, description="whether they may lie in a private network")
    allow_http: bool = Field(False, description="whether they may be told without TLS")
    most_per_tenant: int = Field(10, gt=0)
    interval_s: Seconds = Field(1.0, description="between two looks for calls whose time has come")
    timeout_s: Seconds = 10.0


class DicomWebSettings(_Topic):
    """Studies that come by STOW-RS, in as many requests as their sender likes."""

    quiet_s: Seconds = Field(20.0, description="after the last image of a study it is complete")
    most_wait_s: Seconds = Field(7200.0, description="after the first image it is taken for complete")


class GatewaySettings(_Topic):
    """The HTTP interface and its limits."""

    host: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535, description="0 takes a free one")
    max_upload_bytes: int = Field(8 << 30, gt=0)
    max_files: int = Field(20_000, gt=0)
    max_unpacked_bytes: int = Field(16 << 30, gt=0, description="that an archive may say it unpacks to")
    idle_timeout_s: Seconds = 60.0
    upload_deadline_s: Seconds = Field(3600.0, description="for a whole upload, however fast")
    least_rate_bytes_s: int = Field(4096, ge=0, description="of an upload, after its first half minute")
    header_timeout_s: Seconds = Field(20.0, description="for the head of a request")
    max_uploads: int = Field(1200, gt=0, description="under way at once; one costs up to 0.2 MB of memory")
    rate_per_minute: int = Field(6000, gt=0, description="uploads of a tenant that has no rate of its own")
    rate_burst: int = Field(2000, gt=0, description="uploads of one tenant at once")
    max_queued: int = Field(50_000, gt=0, description="jobs that may wait, of all tenants")
    least_free_bytes: int = Field(1 << 30, ge=0, description="of the disk that uploads must leave free")
    max_validations: int = Field(2, gt=0, description="studies looked at at once, each by a process")
    validation_limit_s: Seconds = 60.0
    max_listeners: int = Field(512, gt=0, description="event streams open at once")
    heartbeat_s: Seconds = Field(15.0, description="between two signs of life of an event stream")
    stream_limit_s: Seconds = Field(
        3600.0, description="of an event stream; who listens comes back, and proves again who it is"
    )
    event_poll_s: Seconds = Field(0.25, description="between two looks at the events of all listeners")
    retry_after_s: Seconds = 1.0
    shutdown_notice_s: float = Field(
        0.0, ge=0, description="in which only /readyz says that it stops; more than a proxy's interval"
    )
    shutdown_grace_s: Seconds = 5.0
    webhooks: WebhookSettings = WebhookSettings()
    dicomweb: DicomWebSettings = DicomWebSettings()


class WorkerSettings(_Topic):
    """The processes that compute."""

    queues: tuple[JobQueue, ...] = Field((), description="of study, prepare, encode, finish; all by default")
    processes: int = Field(1, ge=1, description="with `gpus`, one for each instead")
    lease_s: Seconds = 60.0
    heartbeat_s: Seconds = Field(10.0, description="the least time between two updates within a stage")
    max_attempts: int = Field(3, ge=1)
    retry_delay_s: Seconds = Field(5.0, description="doubled with each further attempt")
    full_disk_delay_s: Seconds = Field(30.0, description="before a job that met a full disk is tried again")
    time_limit_s: Seconds = 1800.0
    max_tasks_per_child: int = Field(100, ge=1, description="a child is replaced after as many studies")
    max_child_mb: int = Field(8192, ge=256, description="a child that has grown larger is replaced")
    shutdown_grace_s: Seconds = 10.0
    atlas: str | None = Field(None, description="name or path; the built-in one by default")
    bundle: str | None = Field(None, description="name or path; the atlas' default one by default")
    offered: tuple[str, ...] = Field((), description="further bundles that a job may choose: names or paths")
    encoders_mb: int = Field(2048, ge=1, description="room for opened encoders; one is kept in any case")
    segmenter: str | None = Field(None, description="a lung segmenter as module:function; ours by default")
    view: bool = Field(True, description="keep a small copy of each scan, which the page shows")
    device: Literal["cpu", "cuda"] = "cpu"
    gpus: tuple[str, ...] = Field((), description="numbers or UUIDs, for `cuda`; the first by default")
    threads: int | None = Field(None, ge=1)

    @property
    def n_processes(self) -> int:
        """How many processes compute; never two on one GPU, which would each hold their own weights and fight."""
        if self.device == "cuda":
            return max(1, len(self.gpus))
        return self.processes

    @field_validator("gpus")
    @classmethod
    def _differ(cls, gpus: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(gpus)) < len(gpus):
            raise ValueError("a GPU is named twice")
        return gpus

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


class EncodeSettings(_Topic):
    """How workers of the queue `encode` put patches of several studies together."""

    max_studies: int = Field(8, ge=1, description="encoded at once")
    max_mb: int = Field(1024, ge=1, description="of drafts at once; one study is encoded in any case")
    wait_ms: float = Field(20.0, ge=0, description="for more studies, when fewer are there")


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class OidcSettings(_Topic):
    """The issuer of access tokens, and what its claims mean here."""

    issuer: str = Field(description="as `iss` of a token says it")
    audience: str = Field(description="as `aud` of a token says it")
    jwks: str = Field(description="https address or file of the issuer's keys")
    algorithms: tuple[Algorithm, ...] = Field(("RS256", "ES256"), min_length=1)
    leeway_s: float = Field(30.0, ge=0, description="how far the clocks may differ")
    cache_s: Seconds = Field(300.0, description="after which the keys are read again")
    tenant: str | None = Field(None, description="of every token; by default the claim says it")
    tenant_claim: str = "tenant"
    tenants: dict[str, str] = Field({}, description="tenant by claim; by default the claim is the tenant")
    scope_claim: str = "scope"
    scopes: dict[str, tuple[Scope, ...]] = Field({}, description="scopes by word; their names by default")

    @field_validator("jwks")
    @classmethod
    def _comes_unchanged(cls, source: str) -> str:
        """Keys that anybody on the way can exchange prove nothing."""
        parts = urlsplit(source)
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("keys are fetched by https")
        return source


class AuthenticationSettings(_Topic):
    """Who may ask. Off is taken for a loopback address only."""

    required: bool = False
    oidc: OidcSettings | None = None
    salt_file: Path | None = Field(None, description="for salted names; made in the data folder by default")
    most_failures: int = Field(
        20, ge=1, description="from one address within the window; more are answered 429"
    )
    failure_window_s: Seconds = 300.0

    @property
    def is_on(self) -> bool:
        """Whether a caller must prove who it is."""
        return self.required or self.oidc is not None


class ObservabilitySettings(_Topic):
    """Logs, metrics and traces."""

    log_format: Literal["json", "text"] = "json"
    metrics_host: str = Field("127.0.0.1", description="loopback address of the port below")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="of /metrics without a key; none by default"
    )
    beacon_s: Seconds = Field(10.0, description="between two signs of life of a worker")
    otlp_endpoint: str | None = Field(None, description="OTLP/HTTP collector of traces; off by default")
    trace_ratio: float = Field(1.0, ge=0, le=1, description="share of the requests that are traced")


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
    delivery: DeliverySettings = DeliverySettings()
    worker: WorkerSettings = WorkerSettings()
    encode: EncodeSettings = EncodeSettings()
    authentication: AuthenticationSettings = AuthenticationSettings()
    observability: ObservabilitySettings = ObservabilitySettings()

    @property
    def store_url(self) -> str:
        """Where the database is."""
        return self.store.url or f"sqlite:///{self.data / 'jobs.sqlite3'}"

    @property
    def salt_file(self) -> Path:
        """Where the salt of salted names lies."""
        return self.authentication.salt_file or self.data / "salt"

    @property
    def blob_folder(self) -> Path:
        """Where blobs lie."""
        return self.blobs.folder or self.data / "blobs"

    @property
    def gathering_folder(self) -> Path:
        """Where studies lie that come image by image, until they are complete."""
        return self.data / "gathering"

    @property
    def queue_folder(self) -> Path:
        """Where the `filesystem://` broker keeps its messages."""
        return self.data / "queue"

    @property
    def first_queue(self) -> JobQueue:
        """Where a new study waits."""
        return JobQueue.PREPARE if self.queue.split else JobQueue.STUDY

    def environment(self) -> dict[str, str]:
        """Return the variables from which another process reads these very settings."""
        topics = {name: value for name, value in self if isinstance(value, _Topic)}
        variables = {f"DRAS_{name.upper()}": topic.model_dump_json() for name, topic in topics.items()}
        return variables | {"DRAS_DATA": str(self.data), "DRAS_LOG_LEVEL": self.log_level}


def read_settings() -> Settings:
    """Read the settings of this process from its environment. Raises CannotServe."""
    try:
        return Settings()
    except ValidationError as error:
        # The names and what is expected: a value may be a secret.
        faults = (
            f"{_variable(fault['loc'])} ({fault['msg']})" for fault in error.errors(include_input=False)
        )
        raise CannotServe(
            "SETTINGS_INVALID",
            f"These settings are invalid: {', '.join(faults)}; docs/settings.md lists all.",
        ) from error
    except SettingsError as error:
        raise CannotServe("SETTINGS_INVALID", "A setting of several parts is no valid JSON.") from error


def _variable(place: tuple[int | str, ...]) -> str:
    """Return the variable of the environment that sets what stands at `place`."""
    return "DRAS_" + "__".join(str(part) for part in place if isinstance(part, str)).upper()
