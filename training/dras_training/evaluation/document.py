"""An evaluation as a page to read, and as two pictures: every figure with its interval, and which claims hold.

Says nothing that is not in the figures; what somebody makes of them is given as remarks.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dras_model.outputs.folder import new_file
from dras_training.evaluation.questions import BY_FEW
from dras_training.evaluation.robustness import ASKED

INTRODUCTION = """# What the starter weights are worth

Written by `dras train evaluate` from figures that lie beside it as JSON. Everybody in it is invented, or a public
scan whose emphysema is invented: **nothing here says how these weights do on patients.**
"""
HOW = """## How it was judged

Figures are of people that neither the encoder nor the model on top was fitted to: the encoder never saw them, and
the linear models are judged by nested cross-validation ([downstream.md](downstream.md)). LAA-950 stands in the
place of an encoder: the share of low voxels in the very same patches, and its root, given to the same models.
A person, or a region, is the mean and the deviation, over its patches, of what each has beyond the level of its
location, which is that of the people who are fitted to
([decision 0089](decisions/0089-what-is-beyond-a-location.md)); dense maps and patches of real scans are asked of
heads that patches taught ([decision 0094](decisions/0094-patches-teach-where.md)).
Intervals are of 95 %, by drawing people anew a thousand times, the same people for all that is compared. They do
not hold how much another training, another fit or another cohort would differ. Where there is nothing to find,
cross-validation gives figures below guessing: whoever is left out pulls the fit of the others away from it.

A region is a third of a lung. It has emphysema where at least 1 % of its voxels are lost, counted in the phantom
before noise. AUC by region is the mean over regions, and over kinds, of the area within one region, so that knowing
where a patch lies is of no help. A dense map's AUC is that of its blocks within one person, true where 5 % of a
block's lung is lost. Emphysema is put into real scans by the phantom's own pattern, scan after scan with the same
amounts of each kind, and judged by models of the invented people: nothing was fitted to a real scan.

Concordance is Lin's, component by component over people and locations together; "within locations" takes the
mean of each location off first, so that what tells locations from each other is no agreement. Given are the
quartiles over components.
"""
_COLOURS = {"judged": "#1b6ca8", "control": "#2e7d4f", "baseline": "#777777", "ablation": "#d1603d"}
_DPI = 90


def write_document(figures: Mapping[str, Any], out: Path, *, remarks: str = "") -> list[Path]:
    """Write `out` (Markdown), its JSON and, in `images` beside it, its pictures; return all of them.

    Raises SetupRefused OUTPUT_NOT_WRITABLE.
    """
    pictures = {"questions": draw_questions(figures)}
    if figures["robustness"]:
        pictures["robustness"] = draw_robustness(figures)
    paths = {name: out.parent / "images" / f"{out.stem}-{name}.png" for name in pictures}
    for name, picture in pictures.items():
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        with new_file(paths[name], overwrite=True) as draft:
            picture.savefig(draft, dpi=_DPI, format="png")
    numbers = out.with_suffix(".json")
    with new_file(numbers, overwrite=True) as draft:
        draft.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    with new_file(out, overwrite=True) as draft:
        relative = {name: path.relative_to(out.parent).as_posix() for name, path in paths.items()}
        draft.write_text(page(figures, relative, remarks=remarks), "utf-8")
    return [out, numbers, *paths.values()]


def page(figures: Mapping[str, Any], pictures: Mapping[str, str], *, remarks: str = "") -> str:
    """Return the Markdown; `pictures` are paths by name."""
    parts = [INTRODUCTION, *_claims(figures), *([f"## Remarks\n\n{remarks.strip()}\n"] if remarks else [])]
    parts += [
        _who(figures),
        *_questions(figures, pictures),
        *_by_few(figures),
        *_regions(figures),
        *_plain(figures),
    ]
    if figures["robustness"]:
        parts += _robustness(figures, pictures)
    return "\n".join([*parts, HOW])


def _claims(figures: Mapping[str, Any]) -> Iterator[str]:
    # To three places, or a figure that misses its bound would read as the bound.
    rows = [
        (c["asked"], interval(c["found"], 3), "yes" if c["holds"] else "**no**") for c in figures["claims"]
    ]
    yield "## Which claims hold\n"
    yield _table(("asked", "found", "holds"), rows)


def _who(figures: Mapping[str, Any]) -> str:
    told = figures["material"]
    kinds = ", ".join(f"{n} {kind}" for kind, n in told["of_each_kind"].items())
    scans = f": {', '.join(told['scans'])}" if told["scans"] else ""
    text = (
        f"## Of whom\n\n{told['people']} invented people that no encoder was trained on, {told['sick']} of them"
        f" with emphysema ({kinds}; {told['regions_with_emphysema']} regions), {told['deaths']} dead at the end of"
        f" their follow-up (the hazard that it was drawn from has a C-index of"
        f" {told['c_index_of_the_true_hazard']:.2f}); patches at {told['locations']} locations."
        f" {told['drawn_twice']} of them drawn twice, compared at {told['locations_of_pairs']},"
        f" {told['mapped']} mapped every {told['stride_mm']} mm."
        f" {told['insertions']} insertions into {len(told['scans'])} real scans{scans}.\n"
    )
    left_out = [f"Left out: {each['what']}; {each['reason']}.\n" for each in told["skipped"]]
    systems = _table(("system", "what it is"), [(s["name"], s["told"]) for s in figures["systems"]])
    return "\n".join([text, *left_out, systems])


def _questions(figures: Mapping[str, Any], pictures: Mapping[str, str]) -> Iterator[str]:
    yield f"## The questions\n\n![Figures of all systems, question by question]({pictures['questions']})\n"
    for asked in _apart(figures, by_few=False):
        rows = []
        for system in figures["systems"]:
            name = system["name"]
            apart = asked["differences"].get(name)
            better = "" if apart is None else f"{apart['of']}: {interval(apart)}"
            rows.append((name, interval(asked["figures"][name]), better))
        head = (
            "system",
            f"{asked['measure']} (95 %)",
            "what it is held against, and by how much that is better",
        )
        yield f"### {asked['title']}\n\nn = {asked['n']}; guessing gives {asked['chance']:g}.\n"
        yield _table(head, rows)


def _apart(figures: Mapping[str, Any], *, by_few: bool) -> list[Mapping[str, Any]]:
    """Return the questions that are asked of few labels, or the others."""
    return [asked for asked in figures["questions"] if asked["key"].startswith(BY_FEW) is by_few]


def _by_few(figures: Mapping[str, Any]) -> Iterator[str]:
    found = _apart(figures, by_few=True)
    found += [asked for asked in figures["questions"] if asked["key"] == "detection"]
    percents = [asked["key"].removeprefix(BY_FEW) for asked in found[:-1]] + ["100"]
    rows = [
        (system["name"], *(interval(asked["figures"][system["name"]]) for asked in found))
        for system in figures["systems"]
    ]
    yield "### How many labels it takes to tell whether a region has emphysema\n"
    yield "AUC by the labels of some of the people who are fitted to, the mean of draws of who that is.\n"
    yield _table(("system", *(f"{percent} %" for percent in percents)), rows)


def _plain(figures: Mapping[str, Any]) -> Iterator[str]:
    told = figures["poolings"]
    titles = {asked["key"]: f"{asked['title']} ({asked['measure']})" for asked in figures["questions"]}
    names = [system["name"] for system in figures["systems"]]
    yield f"### The same by `{told['plain']}` instead of `{told['judged']}`\n"
    rows = [
        (titles[key], *(f"{found[name]['value']:.2f}".replace("-", "−") for name in names))
        for key, found in figures["plain"].items()
    ]
    yield _table(("question", *names), rows)


def _regions(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "### Each kind, region by region\n"
    regions: list[str] = []
    rows = []
    for system, by_kind in figures["regions"].items():
        for kind, areas in by_kind.items():
            regions = list(areas)
            rows.append((system, kind, *("–" if a is None else f"{a:.2f}" for a in areas.values())))
    yield _table(("system", "kind", *(region.replace("_", " ") for region in regions)), rows)


def _robustness(figures: Mapping[str, Any], pictures: Mapping[str, str]) -> Iterator[str]:
    yield "## Robustness\n"
    yield f"![Median concordance by change and system]({pictures['robustness']})\n"
    rows = []
    for change, by_system in figures["robustness"].items():
        for system, found in by_system.items():
            within = found["within"]
            shown = "–" if within is None else _quartiles(within)
            rows.append((change, system, str(found["n_pairs"]), _quartiles(found["quartiles"]), shown))
    yield _table(("changed", "system", "pairs", "concordance: median (quartiles)", "within locations"), rows)


def draw_questions(figures: Mapping[str, Any]) -> Figure:
    """Draw each question's figures with their intervals, one panel a question."""
    asked, systems = figures["questions"], figures["systems"]
    columns = 3
    rows = -(-len(asked) // columns)
    figure = Figure(figsize=(11.0, 0.9 + rows * (0.7 + 0.26 * len(systems))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, question in zip(panels, asked, strict=False):
        _forest(panel, question, systems)
    for panel in panels[len(asked) :]:
        panel.set_visible(False)
    return figure


def _forest(axes: Axes, question: Mapping[str, Any], systems: Sequence[Mapping[str, str]]) -> None:
    for height, system in enumerate(reversed(systems)):
        found = question["figures"][system["name"]]
        colour = _COLOURS[system["kind"]]
        axes.plot([found["low"], found["high"]], [height, height], color=colour, lw=2)
        axes.plot(found["value"], height, "o", color=colour, ms=5)
    axes.axvline(question["chance"], color="#bbbbbb", lw=1, ls="--")
    axes.set_yticks(range(len(systems)), [system["name"] for system in reversed(systems)], fontsize=8)
    axes.set_title(f"{question['key'].replace('_', ' ')} ({question['measure']})", fontsize=10)
    axes.tick_params(axis="x", labelsize=8)


def draw_robustness(figures: Mapping[str, Any]) -> Figure:
    """Draw the median concordance of each change, system by system."""
    found, systems = figures["robustness"], figures["systems"]
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    width = 0.8 / len(systems)
    shades = [_COLOURS[system["kind"]] for system in systems]
    for place, (system, shade) in enumerate(zip(systems, shades, strict=True)):
        heights = [by_system[system["name"]]["quartiles"][1] for by_system in found.values()]
        left = [i - 0.4 + width * (place + 0.5) for i in range(len(found))]
        alpha = 1.0 - 0.6 * place / len(systems)
        axes.bar(left, heights, width=0.9 * width, color=shade, alpha=alpha, label=system["name"])
    axes.axhline(ASKED, color="black", lw=1, ls="--")
    axes.set_xticks(range(len(found)), list(found), fontsize=8)
    axes.set(ylabel="median concordance", ylim=(min(0.0, axes.get_ylim()[0]), 1.02))
    axes.legend(fontsize=7, ncols=len(systems), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def interval(found: Mapping[str, float], places: int = 2) -> str:
    """Return a value and its interval as they are written, to so many decimal places."""
    value, low, high = (f"{found[name]:.{places}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})".replace("-", "−")


def _quartiles(found: Sequence[float]) -> str:
    low, median, high = found
    return f"{median:.3f} ({low:.2f} to {high:.2f})".replace("-", "−")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
