"""Harmonisation of one scan: kernel from tissue, noise from lung, and the reasons for which it is withheld."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.parallel import each_slab
from dras_model.imaging.volume import LabelMap, Spacing, Volume
from dras_model.results.study import HarmonisationQuality
from dras_model.scores.harmonisation.bands import (
    LUNG_HU,
    MARGIN,
    MOST_GAIN,
    REFERENCE_HALF,
    SCALE_MM,
    Bands,
    block_values,
    raw_noise_hu,
    split_bands,
    whole_blocks,
)
from dras_model.scores.harmonisation.edges import edge_response
from dras_model.scores.harmonisation.floor import LEAST_SHARE, Floor, noise_before_floor
from dras_model.scores.harmonisation.shrinkage import remove_noise, typical_deviation
from dras_model.scores.harmonisation.spectrum import NoiseSpectrum, noise_spectrum
from dras_model.scores.lung_values import LungValues, lung_box

METHOD = "noise-power kernel equalisation and band energies less noise (after Gallardo-Estrella 2016)"
LARGEST_PIXEL_MM = 1.4  # coarser pixels do not resolve what kernels differ in
# Shares of lung at the floor, and noise at the reference kernel: beyond, phantoms were off by more than a tenth in
# most cells (decision 0023). Undershoot of a strong kernel that fell below the floor is lost, whatever the noise.
MOST_AT_FLOOR, SOME_AT_FLOOR = 0.25, 0.05
MOST_ENHANCED_AT_FLOOR = 3.5
MOST_NOISE_HU = 45.0
MOST_ENHANCED, MOST_SURE_NOISE_HU = 1.1, 24.0  # above either, values are given with a caution
SETTINGS: Mapping[str, str | float] = MappingProxyType(
    {
        "harmonise_method": METHOD,
        "harmonise_reference_half_lp_mm": REFERENCE_HALF,
        "harmonise_most_gain": MOST_GAIN,
        "harmonise_scale_mm": SCALE_MM,
    }
)
SEGMENT_MM = 40.0  # of height, in which noise is taken as one
LEAST_BLOCKS = 150

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Harmonised:
    """`lungs` are the lung voxels harmonised, None where `limit` says why not.

    `caution` says where they are given and scores may be off by more than a tenth. `quality` is what was found in
    the scan, None where nothing could be.
    """

    lungs: LungValues | None
    limit: str | None = None
    caution: str | None = None
    quality: HarmonisationQuality | None = None


def harmonise(volume: Volume, lungs: LabelMap) -> Harmonised:
    """Harmonise the lung voxels of an axial scan."""
    spacing_mm = volume.grid.spacing_mm
    found = lung_box(lungs, (0, MARGIN, MARGIN))
    if found is None:
        return Harmonised(None, "there is no lung")
    if max(spacing_mm[1:]) > LARGEST_PIXEL_MM:
        return Harmonised(None, f"pixels of {spacing_mm[2]:.1f} mm do not resolve a kernel")
    box, lung = found
    hu = volume.hu[box]
    edge = edge_response(hu, lung, spacing_mm)
    spectrum = noise_spectrum(volume.hu[box[0]], spacing_mm[2], edge)
    if spectrum is None:
        return Harmonised(None, "too little even soft tissue is seen to tell the kernel")
    tissue_hu = raw_noise_hu(spectrum, spacing_mm[2])
    floor = _floor(hu, lung)
    strongest = _strongest(spectrum)
    limit = _limit(floor, strongest)
    if limit is not None:
        return Harmonised(None, limit, None, _found(spectrum, tissue_hu, floor))
    bands = split_bands(hu, lung, spectrum, spacing_mm=spacing_mm, floor=floor)
    clean, noise_hu = _remove_noise(bands, spacing_mm)
    quality = _found(spectrum, tissue_hu, floor, noise_hu)
    if noise_hu > MOST_NOISE_HU:
        return Harmonised(None, f"noise of {noise_hu:.0f} HU at the reference kernel", None, quality)
    return Harmonised(LungValues(volume.grid, clean), None, _caution(strongest, noise_hu), quality)


def _strongest(spectrum: NoiseSpectrum) -> float:
    """How strongly any frequency is enhanced."""
    return float(spectrum.kernel(np.linspace(0.1, 0.5, 17)).max())


def _limit(floor: Floor | None, strongest: float) -> str | None:
    """Why the lowest stored value has taken too much to give anything, if so."""
    share = 0.0 if floor is None else floor.share
    if share > MOST_AT_FLOOR:
        return f"{100 * share:.0f} % of the lung lies at the lowest stored value"
    if share > SOME_AT_FLOOR and strongest > MOST_ENHANCED_AT_FLOOR:
        return (
            f"edges were enhanced {strongest:.1f}-fold, and {100 * share:.0f} % of the lung lies at the lowest"
            " stored value"
        )
    return None


def _caution(strongest: float, noise_hu: float) -> str | None:
    """Say where a value may be off by more than a tenth, with what phantoms showed."""
    doubts = []
    if strongest > MOST_ENHANCED:
        doubts.append(
            f"edges were enhanced {strongest:.1f}-fold (on phantoms LAA-950 was then within 10 %, but under a"
            " kernel that rises as f 13 % too low to 16 % too high)"
        )
    if noise_hu > MOST_SURE_NOISE_HU:
        doubts.append(
            f"noise was {noise_hu:.0f} HU at the reference kernel (on phantoms LAA-950 was then up to 11 % too"
            " high)"
        )
    return "; ".join(doubts) or None


def _floor(hu: Values, lung: NDArray[np.bool_]) -> Floor | None:
    """The stored minimum, where lung lies on it, with the noise that fell below; None where none does.

    Told from 48 slices at least: a share that matters is seen in them.
    """
    chosen = slice(None, None, max(1, len(hu) // 48))
    hu, lung = hu[chosen], lung[chosen]
    values = hu[lung]
    lowest = float(values.min(initial=np.inf))
    share = np.count_nonzero(values == lowest) / max(values.size, 1)
    if share < LEAST_SHARE:
        return None
    blocks = block_values(hu, whole_blocks(lung))
    mean, deviation = blocks.mean(axis=(1, 2)), blocks.std(axis=(1, 2))
    thin = mean < LUNG_HU
    if np.count_nonzero(thin) < LEAST_BLOCKS:
        return None
    mean, deviation = mean[thin], deviation[thin]
    typical = typical_deviation(deviation)
    alike = np.abs(deviation - typical) < 0.1 * typical
    return Floor(lowest, share, noise_before_floor(float(np.median(mean[alike])), typical, lowest))


def _remove_noise(bands: Bands, spacing_mm: Spacing) -> tuple[Values, float]:
    """Return the lung voxels without noise, and the noise they had at the reference kernel.

    Shoulders and the dose's modulation change noise along z, so segments are treated each for itself.
    """
    n_slices = len(bands.starts) - 1
    n_segments = max(1, round(n_slices * spacing_mm[0] / SEGMENT_MM))
    edges = [round(n_slices * i / n_segments) for i in range(n_segments + 1)]
    overall = typical_deviation(bands.block_hu) / bands.noise.detail_hu if len(bands.block_hu) else 1.0
    clean = np.empty_like(bands.coarse)
    levels = np.zeros(n_segments)

    def work(segments: slice) -> None:
        for index in range(segments.start, segments.stop):
            low, high = edges[index], edges[index + 1]
            within = (bands.block_slice >= low) & (bands.block_slice < high)
            enough = np.count_nonzero(within) >= LEAST_BLOCKS
            level = typical_deviation(bands.block_hu[within]) / bands.noise.detail_hu if enough else overall
            part = slice(bands.starts[low], bands.starts[high])
            clean[part] = remove_noise(
                bands.coarse[part],
                bands.detail[part],
                alone_hu=level * bands.noise.alone_hu,
                left_hu=level * bands.noise.left_hu,
            )
            levels[index] = level

    each_slab(work, n_segments)
    voxels = np.diff(bands.starts[edges])
    return clean, float(levels @ voxels / voxels.sum()) * bands.noise.total_hu


def _found(
    spectrum: NoiseSpectrum, tissue_hu: float, floor: Floor | None, noise_hu: float | None = None
) -> HarmonisationQuality:
    at_02, at_04 = (float(spectrum.kernel(np.array(f))) for f in (0.2, 0.4))
    return HarmonisationQuality(
        tissue_patches=spectrum.n_patches,
        kernel_at_0_2=at_02,
        kernel_at_0_4=at_04,
        noise_tissue_hu=tissue_hu,
        noise_reference_hu=noise_hu,
        floor_percent=0.0 if floor is None else 100.0 * floor.share,
    )
