"""The service's database, opened by a command of the operator on the service's own machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dras_service.errors import CannotServe
from dras_service.settings import Settings, read_settings
from dras_service.store.errors import StoreError
from dras_service.store.opening import open_store
from dras_service.store.store import Store


def settings_with(data: Path | None) -> Settings:
    """Return the settings of the environment, with another data folder where one was given."""
    settings = read_settings()
    return settings if data is None else settings.model_copy(update={"data": data})


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """Open the database of the settings, brought to this version's form. Raises CannotServe."""
    store = open_store(settings)
    try:
        yield store
    except StoreError as error:
        raise CannotServe(
            "STORE_UNAVAILABLE", "The database cannot be reached or written; `dras doctor` says more."
        ) from error
    finally:
        store.close()


def operator() -> str:
    """Return who runs the command, as the audit log names them: a number of this machine, no name."""
    return f"uid:{os.getuid()}"
