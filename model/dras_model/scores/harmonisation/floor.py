"""Noise against the lowest value a scanner stores: what a mean loses there, and how to give it back.

Twelve bits end at -1024 HU. Where noise is wide, part of it is cut off, so local means of thin lung come out
too high (by 17 HU at -980 HU with a deviation of 80) and contrast shrinks. Values that were cut are replaced by
what a censored normal distribution (Tobin 1958) expects below the floor, given the mean of their surroundings;
all others stay. Structure that fell below the floor without noise is not recovered.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

Values = NDArray[np.float32]

LEAST_SHARE = 1e-3  # of the lung at the floor; below, nothing is done
DEEPEST_HU = 150.0  # below the floor a value is not sought
_T = np.linspace(-3.0, 6.0, 1801)
_DENSITY = np.exp(-(_T**2) / 2.0) / np.sqrt(2.0 * np.pi)
_MEAN = _DENSITY + _T * ndtr(_T)  # of max(z + t, 0), z standard normal
_BELOW = _T - np.exp(-(_T**2) / 2.0 - log_ndtr(-_T)) / np.sqrt(
    2.0 * np.pi
)  # mean of z + t where it is below 0
_DEVIATION = np.sqrt(np.maximum((1.0 + _T**2) * ndtr(_T) + _T * _DENSITY - _MEAN**2, 1e-12))


@dataclass(frozen=True, slots=True)
class Floor:
    """The lowest stored value, the share of the lung that lies on it, and the noise that was cut, HU."""

    hu: float
    share: float
    noise_hu: float

    def lift(self, values: Values, means: Values) -> Values:
        """Return `values` with those at the floor as they are expected below it, given local `means` (same shape).

        Tobin's mean of the cut distribution gives the whole one's, m; below the floor F that expects
        m - s phi(a) / Phi(a) with a = (F - m) / s, s the deviation.
        """
        cut = values <= self.hu
        below = np.interp((means[cut] - self.hu) / self.noise_hu, _MEAN, _BELOW)
        lifted = values.copy()
        lifted[cut] = self.hu + np.maximum(self.noise_hu * below, -DEEPEST_HU)
        return lifted


def noise_before_floor(mean_hu: float, deviation_hu: float, floor_hu: float) -> float:
    """Deviation of the noise whose censored mean and deviation are these."""
    t = np.interp((mean_hu - floor_hu) / deviation_hu, _MEAN / _DEVIATION, _T)
    return float(deviation_hu / np.interp(t, _T, _DEVIATION))
