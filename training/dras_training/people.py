"""Invented people: who is in a cohort of phantoms, all of it from one seed, and what is true of each.

Build, breath, disease and scanner vary independently, so that none can be told from another. What happens to them
later is invented, too: a survival whose hazard is known, to try an analysis on. No epidemiology is claimed.
"""

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.phantom import Build, Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import COVERAGE_MM, EmphysemaKind, Kernel
from dras_model.outputs.folder import new_file
from dras_model.results.study import Region
from dras_training.recipe import Phantoms
from dras_training.telling import to_nobody

DISEASED = (EmphysemaKind.CENTRILOBULAR, EmphysemaKind.PARASEPTAL, EmphysemaKind.PANLOBULAR)
HEALTHY, SHARP, EVERYWHERE, SLENDER = 0.25, 0.25, 0.5, 0.5  # shares of the people
SEVERITY = (0.02, 0.35)  # of the lung voxels, as many mild as severe ones: drawn from their logarithms
# How much of all lung voxels emphysema of one place may take: a lung is about half of them, a third of both a
# third; and a cyst under the pleura needs pleura.
ROOM = {Region.WHOLE: 0.35, Region.RIGHT: 0.2, Region.LEFT: 0.2, Region.APICAL: 0.12, Region.BASAL: 0.12}
PARASEPTAL_ROOM = 0.2  # of that
THICKNESSES_MM = (1.25, 2.5, 3.75, 5.0)
FOLLOWED_YEARS = 8.0
RISK = {  # log hazard per whole lung lost; paraseptal cysts are taken for the harmless ones
    EmphysemaKind.CENTRILOBULAR: 8.0,
    EmphysemaKind.PANLOBULAR: 12.0,
    EmphysemaKind.PARASEPTAL: 2.0,
}
BASE_HAZARD = 0.06  # deaths a year among the healthy
LOST = 2  # in a label map of a scan, whose lung is 1, as in maps of low attenuation

Heard = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Person:
    """One phantom, and how long it lives: `died` is False where `years` is when it was last seen."""

    name: str
    spec: PhantomSpec
    years: float
    died: bool

    @property
    def row(self) -> dict[str, Any]:
        """What is true of the person, as a row of a table; `severity` in % of the lung voxels."""
        spec = self.spec
        return {
            "subject": self.name,
            "subtype": spec.emphysema.kind.value,
            "severity": round(100.0 * spec.emphysema.fraction, 4),
            "place": spec.emphysema.place.value,
            "inflation": round(spec.inflation, 4),
            "size": round(spec.build.size, 4),
            "narrowing": round(spec.build.narrowing, 4),
            "kernel": spec.kernel.value,
            "noise_hu": round(spec.noise_hu, 2),
            "thickness_mm": spec.thickness_mm,
            "years": round(self.years, 3),
            "died": int(self.died),
        }


def invent(cohort: Phantoms) -> Iterator[Person]:
    """Yield the people of a cohort: the same on every machine, and each the same in a cohort of any size."""
    return (_person(cohort.seed + i, cohort) for i in range(cohort.count))


def scanned_again(person: Person, repeat: int) -> PhantomSpec:
    """Return the scan `repeat` of a person: another breath, kernel, noise and thickness; 0 is the first scan."""
    if repeat == 0:
        return person.spec
    generator = np.random.Generator(np.random.PCG64([person.spec.seed, 0x9A8, repeat]))
    return replace(person.spec, repeat=repeat, **_scan(generator))


def write_truth(cohort: Phantoms, path: Path, *, scans: Path | None = None, heard: Heard = to_nobody) -> int:
    """Write a row a person to a CSV file; return how many. Raises SetupRefused OUTPUT_NOT_WRITABLE.

    With `scans` each is scanned into that folder, and the columns image and labels say where; a label is 1 in
    lung and LOST in what is lost of it.
    """
    rows = []
    for done, person in enumerate(invent(cohort)):
        rows.append(person.row if scans is None else person.row | _scanned(person, scans, beside=path))
        heard(done + 1, cohort.count)
    with new_file(path, overwrite=True) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return len(rows)


def _scanned(person: Person, scans: Path, *, beside: Path) -> dict[str, str]:
    phantom = make_phantom(person.spec)
    labels = np.where(phantom.truth.emphysema, LOST, phantom.truth.lungs.labels > 0).astype(np.uint8)
    made = (("image", "images", np.rint(phantom.volume.hu).astype(np.int16)), ("labels", "labels", labels))
    named = {}
    for column, folder, array in made:
        place = scans / folder / f"{person.name}.nii.gz"
        with new_file(place, overwrite=True) as draft:
            write_nifti(draft, array, phantom.volume.grid)
        named[column] = os.path.relpath(place.resolve(), beside.resolve().parent)
    return named


def _person(seed: int, cohort: Phantoms) -> Person:
    generator = np.random.Generator(np.random.PCG64([seed, 0x9A7]))
    spec = PhantomSpec(
        seed=seed,
        n_slices=cohort.n_slices,
        matrix=cohort.matrix,
        slice_mm=COVERAGE_MM / cohort.n_slices,
        emphysema=_emphysema(generator),
        build=_build(generator),
        **_scan(generator),
    )
    disease = spec.emphysema
    hazard = BASE_HAZARD * np.exp(RISK.get(disease.kind, 0.0) * disease.fraction)
    dies, leaves = generator.exponential(1.0 / hazard), generator.uniform(0.5, 1.0) * FOLLOWED_YEARS
    return Person(f"phantom-{seed:05}", spec, years=float(min(dies, leaves)), died=bool(dies <= leaves))


def _scan(generator: np.random.Generator) -> dict[str, Any]:
    return {
        "inflation": float(generator.uniform(0.85, 1.05)),
        "noise_hu": float(generator.uniform(5.0, 30.0)),
        "kernel": Kernel.SHARP if generator.random() < SHARP else Kernel.SOFT,
        "thickness_mm": float(generator.choice(THICKNESSES_MM)),
    }


def _emphysema(generator: np.random.Generator) -> Emphysema:
    sick, everywhere = generator.random() >= HEALTHY, generator.random() < EVERYWHERE
    kind = DISEASED[int(generator.integers(len(DISEASED)))]
    places = tuple(ROOM)
    place = Region.WHOLE if everywhere else places[int(generator.integers(1, len(places)))]
    fraction = float(np.exp(generator.uniform(*np.log(SEVERITY))))
    room = ROOM[place] * (PARASEPTAL_ROOM if kind is EmphysemaKind.PARASEPTAL else 1.0)
    return Emphysema(kind, min(fraction, room), place) if sick else Emphysema()


def _build(generator: np.random.Generator) -> Build:
    """Half of the people are smaller and narrower at the base, as women are; the two halves overlap."""
    slender = generator.random() < SLENDER
    size = generator.normal(0.93 if slender else 1.0, 0.025)
    narrowing = generator.normal(0.06 if slender else 0.0, 0.02)
    return Build(float(np.clip(size, 0.85, 1.05)), float(np.clip(narrowing, -0.04, 0.12)))
