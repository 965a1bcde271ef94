"""How sharp a reconstruction kernel is, from its vendor's naming.

Sharp kernels amplify noise, and noise moves voxels across the -950 HU line; so the class decides the
rank of a series and the warning on its scores. The names are the vendors' own, as they appear in
(0018,1210) and in published comparisons (e.g. Gallardo-Estrella, Eur Radiol 2016).
"""

import re
from enum import StrEnum


class Sharpness(StrEnum):
    """Class of a kernel, in the order of preference for densitometry."""

    SMOOTH = "smooth"
    UNKNOWN = "unknown"
    SHARP = "sharp"


_Rule = tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]


def _rule(vendor: str, smooth: str, sharp: str) -> _Rule:
    return re.compile(vendor), re.compile(smooth), re.compile(sharp)


# Vendor, its smooth kernels, its sharp ones. Siemens' and Canon's numbers grow with sharpness: B45 and
# below serve densitometry, B50 and above are called sharp; FC01-FC29 are body, FC30 and above bone and lung.
_SIEMENS = r"^(?:[BIDHJQUT]|[BDHQUT][RFLVUDGPOMBC])"
_RULES: tuple[_Rule, ...] = (
    _rule(r"^GE\b", r"^(?:SOFT|STANDARD|STND|CHST)$", r"^(?:DETAIL|LUNG|BONE|BONEPLUS|EDGE|ULTRA)$"),
    _rule(
        r"PHILIPS",
        r"^(?:[YESUC]?[AB]|IPX?[AB]?|SMOOTH|STANDARD)$",
        r"^(?:[YESUC]?[CDEL]|LUNG|DETAIL|SHARP)$",
    ),
    _rule(r"SIEMENS", _SIEMENS + r"[0-4]\d", _SIEMENS + r"[5-9]\d"),
    _rule(r"^PHANTOM$", r"^STANDARD$", r"^LUNG$"),  # our own synthetic scans
    _rule(r"TOSHIBA|CANON", r"^FC[0-2]\d", r"^FC[3-9]\d"),
)


def sharpness(manufacturer: str | None, kernel: str | None) -> Sharpness:
    """Classify a kernel by its vendor's scale; a name that no vendor rule knows is UNKNOWN."""
    name = re.split(r"[\\ ]", (kernel or "").strip().upper())[0]
    vendor = (manufacturer or "").strip().upper()
    for of_vendor, smooth, sharp in _RULES:
        if of_vendor.search(vendor):
            if sharp.match(name):
                return Sharpness.SHARP
            return Sharpness.SMOOTH if smooth.match(name) else Sharpness.UNKNOWN
    return Sharpness.UNKNOWN
