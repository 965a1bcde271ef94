"""Noise against the lowest value a scanner stores: what a mean loses there, and how to give it back.

Twelve bits end at -1024 HU. Where noise is wide, part of it is cut off, so local means of thin lung come out
too high (by 17 HU at -980 HU with a deviation of 80) and contrast shrinks. The mean and the slope of a censored
normal distribution (Tobin 1958) are inverted here; what fell below the floor in structure is not recovered.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Values = NDArray[np.float32]

LEAST_SHARE = 1e-3  # of the lung at the floor; below, nothing is done
LEAST_SLOPE = 0.2  # contrast is not multiplied by more than 5
DEEPEST_HU = 150.0  # below the floor a value is not sought
_T = np.linspace(-3.0, 6.0, 1801)
_DENSITY = np.exp(-(_T**2) / 2.0) / np.sqrt(2.0 * np.pi)
_MEAN = _DENSITY + _T * ndtr(_T)  # of max(z + t, 0), z standard normal
_DEVIATION = np.sqrt(np.maximum((1.0 + _T**2) * ndtr(_T) + _T * _DENSITY - _MEAN**2, 1e-12))


@dataclass(frozen=True, slots=True)
class Floor:
    """The lowest stored value, the share of the lung that lies on it, and the noise that was cut, HU."""

    hu: float
    share: float
    noise_hu: float

    def lift(self, values: Values, means: Values) -> Values:
        """Return `values` as they were without the floor, given their local `means` (same shape)."""
        t = np.interp((means - self.hu) / self.noise_hu, _MEAN, _T).astype(np.float32)
        t = np.maximum(t, np.float32(-DEEPEST_HU / self.noise_hu))
        slope = np.maximum(ndtr(t), np.float32(LEAST_SLOPE))
        return np.asarray(self.hu + self.noise_hu * t + (values - means) / slope, dtype=np.float32)


def noise_before_floor(mean_hu: float, deviation_hu: float, floor_hu: float) -> float:
    """Deviation of the noise whose censored mean and deviation are these."""
    t = np.interp((mean_hu - floor_hu) / deviation_hu, _MEAN / _DEVIATION, _T)
    return float(deviation_hu / np.interp(t, _T, _DEVIATION))
