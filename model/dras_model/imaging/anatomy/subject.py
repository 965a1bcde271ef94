"""People: how one thorax differs from the mean, and where its points lie in the mean thorax.

A person is a scaled, gently bent and breathing copy of the mean; shapes are always evaluated in the mean
thorax' frame. Disease is not here.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dras_model.imaging.anatomy.shapes import Field, Points, Vector
from dras_model.imaging.anatomy.thorax import MEAN_THORAX, Cage, Dome, Profile, Thorax

MEAN_SCALE = 0.95  # the mean thorax holds 6.4 L, an adult's at full inspiration 5 to 6 L
DOME_RISE_MM = 140.0  # of the diaphragm, per unit of lost inflation
CAGE_LOSS = (0.1, 0.22)  # of width and depth, per unit of lost inflation
N_BENDS, BEND_MM, BEND_LENGTH_MM = 4, 3.0, 220.0
BASE_MM, APEX_MM = -140.0, 140.0  # between which a build narrows
SIDE_WIDTHS = (1.045, 0.915)  # right and left against the mean thorax: the right lung holds about 54 %


@dataclass(frozen=True, slots=True)
class Build:
    """What tells groups of people apart, as women and men: the size, 1 for the mean, and how narrow the base is.

    With a `narrowing` of 0.1 the thorax is 10 % narrower at its base and as wide at its apex; no anthropometry is
    claimed.
    """

    size: float = 1.0
    narrowing: float = 0.0

    def __post_init__(self) -> None:
        if not 0.8 <= self.size <= 1.1 or not -0.15 <= self.narrowing <= 0.15:
            raise ValueError(
                "a build is 0.8 to 1.1 times the mean, and up to 0.15 narrower or wider at the base"
            )


AVERAGE = Build()


class Bend(NamedTuple):
    """A wave of displacement: `shift` in mm times the sine of `wave` in 1/mm times the position plus `phase`."""

    shift: Vector
    wave: Vector
    phase: float


@dataclass(frozen=True, slots=True)
class Subject:
    """One person: the thorax, its size along (x, y, z), its bends, the fat under the skin, the narrow base."""

    thorax: Thorax
    scale: Vector
    bends: tuple[Bend, ...]
    fat_mm: float
    narrowing: float = 0.0

    def canonical(self, points: Points) -> Points:
        """Map positions in this person to the mean thorax' frame."""
        scaled = Points(*(p / s for p, s in zip(points, self.scale, strict=True)))
        x, y, z = scaled
        for bend in self.bends:
            sine = np.sin(
                bend.wave.x * scaled.x + bend.wave.y * scaled.y + bend.wave.z * scaled.z + bend.phase
            )
            x, y = x + bend.shift.x * sine, y + bend.shift.y * sine
            # heights bend with height alone: what depends on z stays one value a plane
            z = z + bend.shift.z * np.sin(bend.wave.z * scaled.z + bend.phase)
        if self.narrowing:
            depth = np.clip((APEX_MM - scaled.z) / (APEX_MM - BASE_MM), 0.0, 1.0)
            x = x / (1.0 - self.narrowing * depth)
        return Points(x, y, z)

    def world(self, canonical: Field) -> Field:
        """Map positions (n, 3) in x, y, z of the mean thorax' frame to this person, to about a micrometre."""
        scale = np.array(self.scale)
        guess = canonical * scale
        for _ in range(8):  # the bend contracts by 0.1 a step
            there = np.stack(self.canonical(Points(*guess.T)), axis=-1)
            guess = guess + (canonical - there) * scale
        return np.asarray(guess)


def make_subject(seed: int, *, inflation: float = 1.0, build: Build = AVERAGE) -> Subject:
    """Make the person of a seed; `inflation` is 1 at full inspiration and about 0.5 after breathing out."""
    rng = np.random.default_rng([seed, 1])
    size = MEAN_SCALE * build.size * (1.0 + 0.025 * _bounded(rng))
    scale = Vector(*(size * (1.0 + spread * _bounded(rng)) for spread in (0.03, 0.03, 0.015)))
    return Subject(
        thorax=_varied(rng, inflation),
        scale=scale,
        bends=tuple(_bend(rng) for _ in range(N_BENDS)),
        fat_mm=12.0 + 3.0 * _bounded(rng),
        narrowing=build.narrowing,
    )


def _bend(rng: np.random.Generator) -> Bend:
    shift = Vector(*rng.uniform(-BEND_MM, BEND_MM, 3).tolist())
    wave = Vector(*(rng.uniform(-1.0, 1.0, 3) * 2.0 * np.pi / BEND_LENGTH_MM).tolist())
    return Bend(shift, wave, float(rng.uniform(0.0, 2.0 * np.pi)))


def _varied(rng: np.random.Generator, inflation: float) -> Thorax:
    loss = 1.0 - inflation
    mean = MEAN_THORAX
    heart = Vector(*(r * (1.0 + 0.05 * _bounded(rng)) for r in mean.core.heart_radii))
    return Thorax(
        right=_varied_cage(rng, mean.right, SIDE_WIDTHS[0], loss),
        left=_varied_cage(rng, mean.left, SIDE_WIDTHS[1], loss),
        right_dome=_varied_dome(rng, mean.right_dome, loss),
        left_dome=_varied_dome(rng, mean.left_dome, loss),
        core=replace(
            mean.core,
            heart=mean.core.heart._replace(z=mean.core.heart.z + 0.4 * DOME_RISE_MM * loss),
            heart_radii=heart,
            heart_turn=mean.core.heart_turn + 0.08 * _bounded(rng),
        ),
    )


def _varied_cage(rng: np.random.Generator, cage: Cage, width: float, loss: float) -> Cage:
    def jitter(values: Profile, factor: float) -> Profile:
        return tuple(v * factor * (1.0 + 0.015 * _bounded(rng)) for v in values)

    lift_mm = 3.0 * _bounded(rng)
    return replace(
        cage,
        half_width_mm=jitter(cage.half_width_mm, width * (1.0 - CAGE_LOSS[0] * loss)),
        half_depth_mm=jitter(cage.half_depth_mm, 1.0 - CAGE_LOSS[1] * loss),
        cupola_mm=cage.cupola_mm + lift_mm,
        top_mm=cage.top_mm + lift_mm,
    )


def _varied_dome(rng: np.random.Generator, dome: Dome, loss: float) -> Dome:
    rise_mm = DOME_RISE_MM * loss + 4.0 * _bounded(rng)
    return replace(
        dome,
        summit=dome.summit._replace(z=dome.summit.z + rise_mm),
        drop_mm=dome.drop_mm * (1.0 + 0.08 * _bounded(rng)),
    )


def _bounded(rng: np.random.Generator) -> float:
    """A standard normal number, cut at two."""
    return float(np.clip(rng.standard_normal(), -2.0, 2.0))
