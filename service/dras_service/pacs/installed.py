"""The extra `pacs`, asked for before anything needs it."""

import importlib.util

from dras_service.errors import CannotServe


def require_pynetdicom() -> None:
    """Raise CannotServe PACS_NOT_INSTALLED where the extra is missing."""
    if importlib.util.find_spec("pynetdicom") is None:
        raise CannotServe("PACS_NOT_INSTALLED", "DICOM over a network needs `pip install 'dras[pacs]'`.")
