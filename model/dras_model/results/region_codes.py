"""The regions in the words of SNOMED CT, as DICOM uses them (PS3.16 CID 6170 lobes, CID 6171 zones, CID 244 sides).

Core, peel, front and back have no code there.
"""

from collections.abc import Mapping
from types import MappingProxyType

from dras_model.results.study import Coded, Region, RegionCode


def _sct(value: str, meaning: str) -> Coded:
    return Coded(scheme="SCT", value=value, meaning=meaning)


_SIDES = {
    "right": _sct("24028007", "Right"),
    "left": _sct("7771000", "Left"),
}
_BOTH = _sct("51440002", "Right and left")
_LUNG = _sct("39607008", "Lung")
_SITES = {
    "apical": _sct("281392002", "Upper zone of lung"),
    "middle": _sct("281393007", "Middle zone of lung"),
    "basal": _sct("281394001", "Lower zone of lung"),
    "upper_lobe": _sct("45653009", "Upper lobe of lung"),
    "lower_lobe": _sct("90572001", "Lower lobe of lung"),
}


def _code(region: Region) -> RegionCode | None:
    if region is Region.WHOLE:
        return RegionCode(site=_LUNG, laterality=_BOTH)
    if region is Region.RIGHT_MIDDLE_LOBE:
        return RegionCode(site=_sct("72481006", "Middle lobe of right lung"), laterality=_SIDES["right"])
    side, _, part = region.value.partition("_")
    if side not in _SIDES:
        site = _SITES.get(region.value)
        return None if site is None else RegionCode(site=site, laterality=_BOTH)
    return RegionCode(site=_SITES[part] if part else _LUNG, laterality=_SIDES[side])


REGION_CODES: Mapping[Region, RegionCode] = MappingProxyType(
    {region: code for region in Region if (code := _code(region)) is not None}
)
