"""pynetdicom as this process is to have it: silent, undecoding, and with datasets on the disk we say.

Its settings are globals of the module, and so is the folder that it streams to: a process is configured once,
before its first association. Leaves out what is done on an association.
"""

import logging
import tempfile
import warnings
from pathlib import Path

import pydicom.config
from pynetdicom import _config, evt

# Statuses of C-STORE (PS3.4 B.2.3, PS3.7 C).
SUCCESS = 0x0000
INVALID_INSTANCE = 0x0117
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900


def configure_library(arriving: Path | None = None) -> None:
    """Configure this process; datasets that arrive are streamed to the folder `arriving` where one is given."""
    if arriving is not None:
        _config.STORE_RECV_CHUNKED_DATASET = True
        tempfile.tempdir = str(arriving)
    _config.STORE_SEND_CHUNKED_DATASET = True
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
    # UIDs are judged where a status can be answered; the library would end the association.
    _config.VALIDATORS["UI"] = lambda _value: (True, "")
    # Both quote values: of whoever sends garbage, and of patients.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE


def asked_instance(event: evt.Event) -> str:
    """Return the SOP Instance UID that a C-STORE request names; it may be anything."""
    return str(getattr(event.request, "AffectedSOPInstanceUID", "") or "")
