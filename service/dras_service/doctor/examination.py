"""The whole examination, in the order in which one fault explains the next."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from dras_service.doctor.broker import check_broker
from dras_service.doctor.database import check_database
from dras_service.doctor.disk import check_disks, check_object_store
from dras_service.doctor.faults import Fault, FaultCode
from dras_service.doctor.machine import check_bundle, check_clock, check_gpu, check_sandbox
from dras_service.errors import CannotServe
from dras_service.gateway.auth.binding import check_binding
from dras_service.settings import Settings, read_settings

# Variables that are read elsewhere than in the settings.
_OTHERS = frozenset(
    {
        "DRAS_API_KEY",
        "DRAS_FAILPOINT",
        "DRAS_KEY_PASSPHRASE",
        "DRAS_LIBRARY",
        "DRAS_REQUIRE_SIGNATURE",
        "DRAS_URL",
    }
)


def examine(
    environment: Mapping[str, str], *, data: Path | None = None, with_bundle: bool = True
) -> Iterator[Fault]:
    """Yield every fault found, with the data folder `data`; without settings nothing else can be looked at."""
    yield from check_variables(environment)
    try:
        settings = read_settings()
        if data is not None:
            settings = settings.model_copy(update={"data": data})
    except CannotServe as fault:
        yield Fault.of(FaultCode.SETTINGS_INVALID, sentence=str(fault))
        return
    try:
        check_binding(settings)
    except CannotServe as fault:
        yield Fault.of(FaultCode.INSECURE_BIND, sentence=str(fault))
    yield from check_disks(settings)
    yield from check_object_store(settings)
    yield from check_database(settings)
    yield from check_broker(settings)
    yield from check_clock(settings)
    yield from check_sandbox()
    yield from check_gpu(settings)
    if with_bundle:
        yield from check_bundle()


def check_variables(environment: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the variables that look like settings and are none: a misspelt topic is not noticed otherwise."""
    topics = {name.upper() for name in Settings.model_fields}
    unknown = sorted(
        name
        for name in environment
        if name.startswith("DRAS_")
        and name not in _OTHERS
        and name.removeprefix("DRAS_").partition("__")[0].upper() not in topics
    )
    if unknown:
        yield Fault.of(FaultCode.SETTINGS_UNKNOWN, names=", ".join(unknown))
