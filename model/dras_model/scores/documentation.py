"""Prints `docs/scores.md` from the definitions and limits that compute, so that the two cannot differ.

`make docs` writes the file, and a test compares it with what is printed here.
"""

import sys

from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.phenotypes import COLUMNS, PATCH_COLUMNS
from dras_model.results.region_codes import REGION_CODES
from dras_model.results.study import REGION_DEFINITIONS, Region
from dras_model.scores.definitions import DEFINITIONS, Definition
from dras_model.scores.limits import Limits

_HEAD = """\
# Scores

Printed by `make docs` from the definitions in `dras_model.scores`; do not edit.

Scores are computed on the scan's own grid, inside the lungs without trachea and main bronchi, on unclipped HU
with padding removed. A voxel at a threshold counts as low (`<=`, as in the literature; the Chest Imaging Platform
counts `<`). A score that cannot be given is there as `null` with a `reason`. Whole HU are counted exactly; other
values in steps of 1/16 HU, which leaves shares at or below a threshold exact and moves others by 1/32 HU at most.
"""


def documentation(limits: Limits | None = None) -> str:
    """Return the whole document as Markdown, for the limits given or the default ones."""
    limits = limits or Limits()
    parts = [_HEAD, "## Definitions\n", *(_section(definition, limits) for definition in DEFINITIONS)]
    parts += [_regions(), _patches(), _warnings(), _limits(limits)]
    return "\n".join(parts)


def _section(definition: Definition, limits: Limits) -> str:
    rows = [
        ("Definition", definition.text(limits)),
        ("Unit", definition.unit),
        ("Reference", definition.reference),
        ("Regions", _names(definition.regions)),
        ("Column", f"`{COLUMNS[definition.code]}`"),
        ("Warnings that bear", _codes(definition.sensitive_to)),
        ("Null where", "; ".join(_nulls(definition, limits))),
    ]
    if definition.threshold is not None:
        rows.insert(1, ("Threshold", f"`{definition.comparator} {definition.threshold:g} HU`"))
    body = "\n".join(f"| {name} | {text} |" for name, text in rows)
    return f"### {definition.code}\n\n| | |\n|---|---|\n{body}\n"


def _nulls(definition: Definition, limits: Limits) -> list[str]:
    """Say when a score is not given, by the conditions that `densitometry` tests."""
    reasons = ["the region holds no lung voxel"]
    if definition.phase == "inspiration":
        reasons.append("the scan is at expiration")
    if definition.phase == "expiration":
        reasons.append("the scan is at inspiration, or nothing says at which breath")
    if definition.thin_tail:
        reasons.append(f"slices are thicker than {limits.thick_withheld_mm:g} mm")
    if definition.regions is None:
        reasons.append(
            f"a third or half is asked for and the scan ends within the lungs (more than"
            f" {limits.most_cut_percent:g} % of their widest section)"
        )
    return reasons + list(definition.also_null)


def _regions() -> str:
    rows = []
    for region in Region:
        code = REGION_CODES.get(region)
        shown = "" if code is None else f"{code.site.value} {code.site.meaning}"
        side = "" if code is None or code.laterality is None else code.laterality.meaning
        rows.append(f"| `{region}` | {REGION_DEFINITIONS[region]} | {shown} | {side} |")
    head = "| region | what it is | SNOMED CT | laterality |\n|---|---|---|---|\n"
    return (
        "## Regions\n\nLobes are there where a lobe mask is given (`--lobes`).\n\n"
        + head
        + "\n".join(rows)
        + "\n"
    )


def _patches() -> str:
    rows = "\n".join(f"| `{name}` | {column.definition} |" for name, column in PATCH_COLUMNS.items())
    return (
        "## Patches\n\nBeside each embedding in `features.npz`, and in `patches.csv`, over the native voxels whose"
        " centres lie in the patch's cube:\n\n| column | what it is |\n|---|---|\n" + rows + "\n"
    )


def _warnings() -> str:
    bearing = {code: [d.code for d in DEFINITIONS if code in d.sensitive_to] for code in Code}
    rows = [
        f"| `{code}` | {entry.sentence} | {_all_or(bearing[code])} |"
        for code, entry in CODES.items()
        if entry.kind is Kind.WARNING
    ]
    head = "| code | sentence | bears on |\n|---|---|---|\n"
    return "## Warnings\n\n" + head + "\n".join(rows) + "\n"


def _all_or(codes: list[str]) -> str:
    missing = [definition.code for definition in DEFINITIONS if definition.code not in codes]
    if not codes:
        return "no score; see the sentence"
    if len(missing) > len(codes):
        return ", ".join(codes)
    return f"all but {', '.join(missing)}" if missing else "all"


def _limits(limits: Limits) -> str:
    rows = []
    for name, field in Limits.model_fields.items():
        value = getattr(limits, name)
        shown = f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"
        rows.append(f"| `{name}` | {shown} | {field.description} |")
    return (
        "## Limits\n\nDefaults; `dras extract --limits FILE.toml` sets any of them by name, and"
        " `provenance.parameters` tells those used.\n\n| name | value | what it decides |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _names(regions: frozenset[Region] | None) -> str:
    return "all" if regions is None else ", ".join(f"`{r}`" for r in Region if r in regions)


def _codes(codes: frozenset[Code]) -> str:
    return ", ".join(code.value for code in Code if code in codes)


if __name__ == "__main__":
    sys.stdout.write(documentation())
