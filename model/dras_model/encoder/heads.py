"""Heads of a bundle: what a patient's embeddings say of an outcome, by weights fitted to somebody's table.

A head is linear in a pooled embedding, so that NumPy serves it, and carries what has to be told with every number
it gives: of which cohort, how good on people it had not seen, how well calibrated. Fitting is `dras_training`'s.
"""

import math
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from dras_model.results.study import Record

PREFIX, SUFFIX = "head.", ".json"
MOST_COHORT, MOST_OUTCOME, MOST_UNIT = 200, 200, 32  # characters
BARE: Literal["1.0"] = "1.0"  # schema of a head without moments, which versions that know none can read
WITH_MOMENTS: Literal["1.1"] = "1.1"
EVERYWHERE = 0  # the group of every patch, of a head that pools the whole of both lungs


class Interval(Record):
    """A figure, and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


class Calibration(Record):
    """How predictions for people the head had not seen met what was observed.

    `slope` and `intercept` are of observed on predicted, of log odds for a probability: 1 and 0 are perfect.
    `error` is the root mean squared one, of a probability (Brier's) as well; null for a hazard, which has no unit.
    """

    slope: float
    intercept: float
    error: float | None = Field(None, ge=0)


class FittedOn(Record):
    """The cohort of a head, as its maker describes it, without anything of a patient."""

    description: str = Field(min_length=1, max_length=MOST_COHORT)
    n: int = Field(ge=2, description="people with an outcome")
    n_events: int | None = Field(None, ge=0, description="of them with the class, or the event")


class Attention(Record):
    """Weights of the patches in the mean: softmax of `bias` (a location) plus `direction` (a component) times h."""

    bias: tuple[float, ...]
    direction: tuple[float, ...]


class Moments(Record):
    """What a cohort has at each location, by itself: mean and deviation, (locations, components), never 0."""

    level: tuple[tuple[float, ...], ...]
    spread: tuple[tuple[float, ...], ...]


class Head(Record):
    """One `head.<name>.json`: value = intercept + Σ_g weights_g · (mean of h in group g − centre_g).

    With `moments`, h is what a patch has beyond its location's level, in parts of its spread, and the means of a
    group are followed by its deviations. A probability is the logistic function of the value, a hazard is the
    logarithm of the ratio to the cohort's mean. What is not known of a group counts as the cohort's mean.
    """

    schema_version: Literal["1.0", "1.1"] = BARE
    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$")
    outcome: str = Field(min_length=1, max_length=MOST_OUTCOME, description="what is estimated, in words")
    unit: str = Field("", max_length=MOST_UNIT)
    kind: Literal["regression", "probability", "hazard"]
    groups: tuple[int, ...] = Field(min_length=1, description="group of each location; -1: of none")
    centre: tuple[tuple[float, ...], ...] = Field(
        min_length=1, description="(groups, components); twice with moments"
    )
    weights: tuple[tuple[float, ...], ...] = Field(
        min_length=1, description="(groups, components); twice with moments"
    )
    intercept: float
    attention: Attention | None = None
    moments: Moments | None = Field(None, description="what is taken off each patch first (1.1)")
    cohort: FittedOn
    measure: Literal["R²", "AUC", "C-index"]
    performance: Interval = Field(description="`measure` on people not fitted to, nested cross-validation")
    calibration: Calibration

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        shape, n = np.array(self.weights, dtype=object).shape, len(self.groups)
        if len(shape) != 2 or np.array(self.centre, dtype=object).shape != shape:
            raise ValueError("centre and weights are no tables of one shape")
        if not -1 <= min(self.groups) <= max(self.groups) == shape[0] - 1:
            raise ValueError("groups are not those of the weights")
        attention, moments = self.attention, self.moments
        if attention and (len(attention.bias), len(attention.direction)) != (n, shape[1]):
            raise ValueError("the attention has other locations or components")
        if moments is None:
            return self
        if attention is not None or self.schema_version == BARE:
            raise ValueError("moments belong to schema 1.1 and to no attention")
        tables = {np.array(table, dtype=object).shape for table in (moments.level, moments.spread)}
        if shape[1] % 2 or tables != {(n, shape[1] // 2)}:
            raise ValueError("the moments have other locations or components")
        if not np.all(np.array(moments.spread) > 0):
            raise ValueError("a spread is not positive")
        return self

    @property
    def width(self) -> int:
        """How many components an embedding must have."""
        return len(self.weights[0]) // (1 if self.moments is None else 2)

    @property
    def weighs_alike(self) -> bool:
        """Whether it says of a patient the mean of what it says of each patch alone."""
        return len(self.weights) == 1 and self.attention is None and self.moments is None

    @property
    def file(self) -> str:
        """Its name in a bundle."""
        return f"{PREFIX}{self.name}{SUFFIX}"

    @property
    def definition(self) -> str:
        """What the number is, of whom it was learnt, and how far it can be trusted."""
        cohort, reached, met = self.cohort, self.performance, self.calibration
        events = "" if cohort.n_events is None else f", {cohort.n_events} with it"
        error = "" if met.error is None else f", root mean squared error {met.error:.3g}"
        return (
            f"model estimate of {self.outcome}, linear in pooled embeddings; fitted on {cohort.description}"
            f" (n = {cohort.n}{events}); on people not fitted to {self.measure} {reached.value:.2f}"
            f" ({reached.low:.2f} to {reached.high:.2f}), calibration slope {met.slope:.2f}, intercept"
            f" {met.intercept:.3g}{error}"
        )

    def to_bytes(self) -> bytes:
        """Return its file; one without moments can be read by versions that know none."""
        return self.model_dump_json(indent=1 if self.moments is None else None, exclude_none=True).encode()

    def estimate(self, embeddings: NDArray[np.float32], valid: NDArray[np.bool_]) -> float | None:
        """Return the value of one patient: embeddings (n, width), valid (n,); None where no patch counts."""
        pooled = pool(
            embeddings[np.newaxis],
            valid[np.newaxis],
            np.array(self.groups),
            attention=self.attention,
            moments=self.moments,
        )[0]
        if not np.isfinite(pooled).any():
            return None
        apart = np.where(np.isfinite(pooled), pooled - np.array(self.centre), 0.0)
        value = self.intercept + float((np.array(self.weights) * apart).sum())
        return 1.0 / (1.0 + math.exp(-value)) if self.kind == "probability" else value

    def of_each(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the value (n,) of each of embeddings (n, width) alone. ValueError unless it `weighs_alike`."""
        if not self.weighs_alike:
            raise ValueError("it does not weigh every patch alike")
        values = self.intercept + (embeddings - np.array(self.centre[0])) @ np.array(self.weights[0])
        return np.asarray(1.0 / (1.0 + np.exp(-values)) if self.kind == "probability" else values)


def pool(
    embeddings: NDArray[np.float32],
    valid: NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    attention: Attention | None = None,
    moments: Moments | None = None,
) -> NDArray[np.float64]:
    """Return means (people, groups, components) of embeddings (people, locations, components), of valid ones only.

    NaN where a group has none. With `attention` the mean is weighted. With `moments` it is that of what patches
    have beyond them, and the deviations follow, (people, groups, 2 · components); NaN of fewer than two patches.
    """
    # An invalid patch may hold anything, so that it has to be left out and not to be weighed with 0.
    known = np.where(valid[:, :, np.newaxis], embeddings, 0.0)
    if moments is not None:
        known = (known - np.array(moments.level)) / np.array(moments.spread)
    counts = np.asarray(valid, dtype=np.float64)
    if attention is not None:
        logits = np.array(attention.bias) + known @ np.array(attention.direction)
        counts = counts * np.exp(logits - logits.max(axis=1, keepdims=True))
    members = (groups[:, np.newaxis] == np.arange(groups.max() + 1)).astype(np.float64)
    # p = person, l = location, g = group, c = component
    weight = np.einsum("pl,lg->pg", counts, members)
    n = np.where(weight > 0, weight, np.nan)[:, :, np.newaxis]
    means = np.einsum("pl,lg,plc->pgc", counts, members, known, optimize=True) / n
    if moments is None:
        return np.asarray(means)
    squares = np.einsum("pl,lg,plc->pgc", counts, members, known**2, optimize=True) / n
    # Of n - 1, so that somebody of whom less can be seen does not look more even.
    variance = np.maximum(squares - means**2, 0.0) * n / np.where(n > 1, n - 1, np.nan)
    return np.concatenate([means, np.sqrt(variance)], axis=2)


def parse_head(content: bytes, *, sizes: tuple[int, int] | None = None) -> Head:
    """Read a head for `sizes` (locations, components). ValueError, whose text is the end of a sentence."""
    try:
        head = Head.model_validate_json(content)
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where or 'as a whole'}: {first['msg'].removeprefix('Value error, ')}") from fault
    if sizes not in {None, (len(head.groups), head.width)}:
        raise ValueError(f"{head.name} is for {len(head.groups)} patches of {head.width} components")
    return head
