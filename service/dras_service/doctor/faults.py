"""Every fault that the doctor knows: a code, one sentence, and one that cures it. Codes are add-only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class FaultCode(StrEnum):
    """The stable name of a fault."""

    SETTINGS_INVALID = "SETTINGS_INVALID"
    SETTINGS_UNKNOWN = "SETTINGS_UNKNOWN"
    INSECURE_BIND = "INSECURE_BIND"
    DATABASE_UNREACHABLE = "DATABASE_UNREACHABLE"
    DATABASE_NOT_MIGRATED = "DATABASE_NOT_MIGRATED"
    DATABASE_NEWER = "DATABASE_NEWER"
    DATABASE_NOT_DURABLE = "DATABASE_NOT_DURABLE"
    DATABASE_DAMAGED = "DATABASE_DAMAGED"
    DATABASE_ON_NETWORK = "DATABASE_ON_NETWORK"
    DISK_NOT_WRITABLE = "DISK_NOT_WRITABLE"
    DISK_NOT_DURABLE = "DISK_NOT_DURABLE"
    DISK_NEARLY_FULL = "DISK_NEARLY_FULL"
    BROKER_UNREACHABLE = "BROKER_UNREACHABLE"
    BROKER_NOT_PERSISTENT = "BROKER_NOT_PERSISTENT"
    BROKER_EVICTS = "BROKER_EVICTS"
    BROKER_UNKNOWN = "BROKER_UNKNOWN"
    BUNDLE_REFUSED = "BUNDLE_REFUSED"
    GPU_NOT_USABLE = "GPU_NOT_USABLE"
    CLOCK_WRONG = "CLOCK_WRONG"
    CLOCK_NOT_SYNCHRONISED = "CLOCK_NOT_SYNCHRONISED"
    SANDBOX_WEAK = "SANDBOX_WEAK"
    SANDBOX_MISSING = "SANDBOX_MISSING"


@dataclass(frozen=True, slots=True)
class FaultEntry:
    """The row of one code: `str.format` templates over the fields, and whether work goes on all the same."""

    sentence: str
    cure: str
    is_advice: bool = False


FAULTS: Mapping[FaultCode, FaultEntry] = MappingProxyType(
    {
        FaultCode.SETTINGS_INVALID: FaultEntry(
            "{sentence}", "Correct or unset them; docs/settings.md lists all."
        ),
        FaultCode.SETTINGS_UNKNOWN: FaultEntry(
            "Nothing reads these variables: {names}.",
            "Look for a misspelling; docs/settings.md lists all.",
            True,
        ),
        FaultCode.INSECURE_BIND: FaultEntry("{sentence}", "Require keys, or bind 127.0.0.1."),
        FaultCode.DATABASE_UNREACHABLE: FaultEntry(
            "The database does not answer.", "Start it, and check DRAS_STORE__URL and the way there."
        ),
        FaultCode.DATABASE_NOT_MIGRATED: FaultEntry(
            "The database is in the form {found}, this version expects {expected}.",
            "Start `dras serve` once; it brings the tables to its form.",
            True,
        ),
        FaultCode.DATABASE_NEWER: FaultEntry(
            "The database is in the form {found}, which this version does not know.",
            "Run the version of dras that wrote it, or a later one.",
        ),
        FaultCode.DATABASE_NOT_DURABLE: FaultEntry(
            "The database may lose what it has confirmed: {setting} is {value}.", "Set {setting} to {wanted}."
        ),
        FaultCode.DATABASE_DAMAGED: FaultEntry(
            "The database file fails its own check.", "Stop the service and restore the last backup of it."
        ),
        FaultCode.DATABASE_ON_NETWORK: FaultEntry(
            "The database file lies on a network file system ({kind}), where its locks do not hold.",
            "Keep it on a local disk, or use PostgreSQL.",
        ),
        FaultCode.DISK_NOT_WRITABLE: FaultEntry(
            "The folder of {what} cannot be written ({reason}).",
            "Give the service's user the right to write there.",
        ),
        FaultCode.DISK_NOT_DURABLE: FaultEntry(
            "The disk of {what} refuses to see data down (fsync: {reason}).",
            "Use a file system that supports fsync.",
        ),
        FaultCode.DISK_NEARLY_FULL: FaultEntry(
            "The disk of {what} has {free_mb} MB left; uploads are refused below {least_mb} MB.",
            "Make room: purge old jobs, or move the data folder.",
        ),
        FaultCode.BROKER_UNREACHABLE: FaultEntry(
            "The broker does not answer.", "Start it, and check DRAS_QUEUE__URL and the way there."
        ),
        FaultCode.BROKER_NOT_PERSISTENT: FaultEntry(
            "Redis keeps no append-only file, so that a restart forgets every hint.",
            "Set `appendonly yes`; until then lost hints cost time, not jobs.",
        ),
        FaultCode.BROKER_EVICTS: FaultEntry(
            "Redis throws messages away when its memory is full ({policy}).",
            "Set `maxmemory-policy noeviction`.",
        ),
        FaultCode.BROKER_UNKNOWN: FaultEntry(
            "Redis does not tell how it keeps messages.",
            "Allow CONFIG GET, or see to `appendonly yes` and `noeviction` yourself.",
            True,
        ),
        FaultCode.BUNDLE_REFUSED: FaultEntry(
            "The model bundle is refused: {code}: {sentence}",
            "See `dras model verify`, and the settings of the worker.",
        ),
        FaultCode.GPU_NOT_USABLE: FaultEntry(
            "The worker shall use CUDA, and {reason}.",
            "Install dras[gpu] and the driver, or set the device to cpu.",
        ),
        FaultCode.CLOCK_WRONG: FaultEntry(
            "This machine's clock and that of the {other} are {seconds:.0f} s apart; leases and keys end wrongly.",
            "Set both by NTP.",
        ),
        FaultCode.CLOCK_NOT_SYNCHRONISED: FaultEntry(
            "The kernel says that nobody keeps this machine's clock.",
            "Run chrony or systemd-timesyncd.",
            True,
        ),
        FaultCode.SANDBOX_WEAK: FaultEntry(
            "Untrusted files are read without {missing}.",
            "Use Linux 5.13 or later, and a container profile that allows it.",
            True,
        ),
        FaultCode.SANDBOX_MISSING: FaultEntry(
            "Untrusted files would be read in a process that cannot be shut in ({reason}).",
            "Run on Linux, outside of profiles that forbid prctl and setrlimit.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong here."""

    code: FaultCode
    sentence: str
    cure: str
    is_advice: bool

    @classmethod
    def of(cls, code: FaultCode, /, **fields: str | float) -> "Fault":
        """Render a fault; KeyError where a field is missing."""
        entry = FAULTS[code]
        return cls(code, entry.sentence.format_map(fields), entry.cure.format_map(fields), entry.is_advice)
