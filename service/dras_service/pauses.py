"""How long somebody who was not reached is left alone, webhooks and DICOM peers alike."""

import random

from dras_service.settings import DeliverySettings


def pause_s(settings: DeliverySettings, *, attempts: int) -> float | None:
    """Return how long to wait after so many attempts, None where that was the last."""
    if attempts >= settings.max_attempts:
        return None
    pause: float = min(settings.first_pause_s * 2 ** (attempts - 1), settings.most_pause_s)
    # Spread, so that a receiver that comes back is not met by everything at once.
    return pause * random.uniform(0.8, 1.2)  # noqa: S311
