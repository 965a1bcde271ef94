"""The options of an upload: from the query to what the store keeps, checked by whom they are meant for."""

import json
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from dras_model.scores.limits import Limits
from dras_service.api.bundles import BundleName
from dras_service.api.options import (
    LEAST_PRIORITY,
    MOST_PRIORITY,
    JobOptions,
    SeriesUid,
    Wishes,
)
from dras_service.api.problems import InvalidField
from dras_service.gateway.problems import InvalidParameters
from dras_service.store.rows import Order

_MOST_LIMITS = 8192  # characters; all limits by name have 1,200


class OrderQuery(Wishes):
    """The query of an upload."""

    series: SeriesUid | None = Field(
        None,
        description="Series Instance UID to use; the best one is chosen by default",
        examples=["1.2.826.0.1.3680043.8.498.1"],
    )
    bundle: BundleName | None = Field(
        None,
        description="model bundle that encodes the study, one of /v1/bundles; the default one by default",
        examples=["drasclr"],
    )
    limits: str | None = Field(
        None,
        max_length=_MOST_LIMITS,
        description="limits of scores and warnings by name, of a range both ends in any order",
        json_schema_extra={"contentSchema": Limits.model_json_schema() | {"examples": [{"noise_hu": 35}]}},
    )
    priority: int = Field(
        0, ge=LEAST_PRIORITY, le=MOST_PRIORITY, description="the highest first, then the oldest"
    )
    repeat: bool = Field(
        False, description="compute even where the same was computed before; otherwise that job is the answer"
    )

    def order(self) -> Order:
        """Return what the store keeps. Raises InvalidParameters."""
        options = JobOptions(
            phase=self.phase,
            harmonise=self.harmonise,
            reference_volume_ml=self.reference_volume_ml,
            dicom=self.dicom,
            limits=_limits(self.limits),
        )
        return Order(
            series_uid=self.series,
            bundle=self.bundle,
            options=options.written(),
            priority=self.priority,
            repeat=self.repeat,
        )


Options = Annotated[OrderQuery, Query()]


def _limits(text: str | None) -> dict[str, Any]:
    """Return the limits that are not the default, by name. Raises InvalidParameters."""
    if text is None:
        return {}
    try:
        given = json.loads(text, parse_constant=_refuse, object_hook=_in_order)
        return Limits.model_validate(given).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        raise InvalidParameters(*map(_field, error.errors())) from error
    except (ValueError, RecursionError) as error:
        raise InvalidParameters(InvalidField(field="query.limits", rule="json_invalid")) from error


def _field(fault: ErrorDetails) -> InvalidField:
    """Name the limit that is wrong; what is none of our names is what the client sent, and is not repeated."""
    names = [str(name) for name in fault["loc"][:1] if name in Limits.model_fields]
    return InvalidField(field=".".join(("query.limits", *names)), rule=fault["type"])


def _in_order(limits: dict[str, Any]) -> dict[str, Any]:
    """Put the lower end of each range first."""
    return {name: sorted(value) if _is_range(value) else value for name, value in limits.items()}


def _is_range(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(end, int | float) for end in value)


def _refuse(_constant: str) -> float:
    raise ValueError("NaN and infinities are no JSON")
