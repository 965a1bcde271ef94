"""Lung density as a soft reference kernel without noise would show it, from the scan alone.

The principle is that of Gallardo-Estrella et al. (Eur Radiol 2016, 26:478): the energy of each frequency band is
brought to a reference. There the reference energies are those of other patients' scans; here they are the scan's
own, less its noise, at a kernel that physics defines. So a patient's emphysema cannot be scaled to a norm, and no
scan is needed to fit anything. It answers kernel and noise; thickness, breath and contrast agent stay as they are.
"""

from dras_model.scores.harmonisation.study import METHOD, SETTINGS, Harmonised, harmonise

__all__ = ["METHOD", "SETTINGS", "Harmonised", "harmonise"]
