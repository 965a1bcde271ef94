"""The two pictures of `docs/architecture.md`, drawn from the imports: `python deploy/site/pictures.py FOLDER`.

The rooms of a house stand in the layers that import-linter enforces (pyproject.toml); an arrow is an import that is
in the code. An import between packages that has no way in the picture, and an arrow for which there is no import,
end the drawing with a ValueError: then the picture has to be thought about, not only drawn again.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("dras_cli", "dras_service", "dras_training", "dras_client", "dras_model")
SAYS = {
    "dras_cli": "the command: parse, call, show",
    "dras_service": "how studies come in and results go out",
    "dras_training": "how weights are made and judged",
    "dras_client": "the SDK, light",
    "dras_model": "what happens to one study",
}
ROW, GAP, PAD, HEAD = 30, 6, 14, 44
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2937 } .name { font-weight: 600; font-size: 15px }
.small { font-size: 11.5px; fill: #4b5563 } .house { fill: #eef2ff; stroke: #6366f1 }
.room { fill: #ffffff; stroke: #a5b4fc }
.way { fill: none; stroke: #475569; stroke-width: 1.6; marker-end: url(#tip) }
.later { stroke-dasharray: 5 4 } .ground { fill: #ffffff }
""".strip()
TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" fill="#475569"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A rectangle with a name, and what is said of it below the name."""

    x: float
    y: float
    width: float
    height: float
    name: str
    told: str = ""

    def svg(self, kind: str) -> Iterator[str]:
        """Draw it: a house has its name at its top, a room in its middle."""
        yield f'<rect class="{kind}" x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="6"/>'
        if kind == "house":
            yield f'<text class="name" x="{self.x + PAD}" y="{self.y + 20}">{escape(self.name)}</text>'
            yield f'<text class="small" x="{self.x + PAD}" y="{self.y + 36}">{escape(self.told)}</text>'
            return
        middle, top = self.x + self.width / 2, self.y + self.height / 2 + (-2 if self.told else 5)
        yield f'<text text-anchor="middle" x="{middle}" y="{top}">{escape(self.name)}</text>'
        if self.told:
            yield f'<text class="small" text-anchor="middle" x="{middle}" y="{top + 15}">{escape(self.told)}</text>'


def import_graph() -> grimp.ImportGraph:
    """Return who imports whom among our own modules."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def layers_of(package: str) -> list[list[str]]:
    """Return the rooms of a package from the top layer down, by its contract; none where it has none."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    for contract in contracts:
        if contract.get("containers") == [package]:
            return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    return []


def packages() -> str:
    """Draw the five packages, the layers in them, and who imports whom."""
    service, model = layers_of("dras_service"), layers_of("dras_model")
    top, below = 76, 76 + _height(service) + 40
    houses = {
        "dras_cli": Box(0, 0, 1000, 52, "dras_cli", SAYS["dras_cli"]),
        "dras_service": Box(0, top + 16, 560, _height(service), "dras_service", SAYS["dras_service"]),
        "dras_training": Box(640, top + 16, 360, 52, "dras_training", SAYS["dras_training"]),
        "dras_client": Box(0, below + 16, 250, 52, "dras_client", SAYS["dras_client"]),
        "dras_model": Box(330, below + 16, 670, _height(model), "dras_model", SAYS["dras_model"]),
    }
    floor = below + 16
    ways = {
        ("dras_cli", "dras_service"): f"M280 52 V{top + 14}",
        ("dras_cli", "dras_training"): f"M820 52 V{top + 14}",
        ("dras_cli", "dras_model"): f"M600 52 V{floor - 2}",
        ("dras_cli", "dras_client"): f"M0 26 H-14 V{floor + 26} H-2",
        ("dras_service", "dras_model"): f"M440 {floor - 40} V{floor - 2}",
        ("dras_service", "dras_client"): f"M90 {floor - 40} V{floor - 2}",
        ("dras_training", "dras_model"): f"M820 {top + 68} V{floor - 2}",
        ("dras_client", "dras_model"): f"M250 {floor + 26} H328",
        ("dras_client", "dras_service"): f"M180 {floor} V{floor - 38}",
    }
    _hold(set(ways), _between_packages(import_graph()))
    lines = [f'<path class="way" d="{way}"/>' for way in ways.values()]
    lines += [f'<text class="small" x="188" y="{floor - 14}">api only</text>']
    lines += [f'<text class="small" x="258" y="{floor + 20}">results only</text>']
    for name, house in houses.items():
        lines += house.svg("house")
        for room in _rooms(house, layers_of(name)):
            lines += room.svg("room")
    return _picture(
        lines, -24, 1012, int(houses["dras_model"].y + houses["dras_model"].height) + 8, _SAID["packages"]
    )


def _height(layers: Sequence[Sequence[str]]) -> int:
    return HEAD + len(layers) * (ROW + GAP) + PAD - GAP


def _rooms(house: Box, layers: Sequence[Sequence[str]]) -> Iterator[Box]:
    for row, names in enumerate(layers):
        width = (house.width - 2 * PAD - GAP * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            x = house.x + PAD + column * (width + GAP)
            yield Box(round(x, 1), house.y + HEAD + row * (ROW + GAP), round(width, 1), ROW, name)


def _between_packages(graph: grimp.ImportGraph) -> set[tuple[str, str]]:
    found = {
        (module.partition(".")[0], other.partition(".")[0])
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
    }
    return {pair for pair in found if pair[0] != pair[1]}


# The way of a study: a place in the picture, the module, what it does. Columns are 0 to 3, rows 0 to 3.
STEPS: Mapping[str, tuple[float, int, str]] = {
    "dras_service.gateway": (0, 0, "HTTP, DICOMweb, the page"),
    "dras_service.pacs": (1, 0, "C-STORE in, results out"),
    "dras_service.batch": (2, 0, "a cohort"),
    "dras_cli.commands.extract": (3, 0, "one study, no service"),
    "dras_service.gathering": (1, 1, "until a study is complete"),
    "dras_service.store": (0, 2, "jobs; studies and results"),
    "dras_service.worker": (1, 2, "lease, compute, commit"),
    "dras_model.pipeline": (3, 2, "prepare, encode, finish"),
    "dras_model.preparing": (1, 3, "read, segment, align, cut"),
    "dras_model.scores": (0, 3, "densitometry, warnings"),
    "dras_model.encoding": (2, 3, "581 embeddings"),
    "dras_model.outputs": (3, 3, "tables, maps, report, DICOM"),
}
IMPORTS = (
    ("dras_service.gateway", "dras_service.store"),
    ("dras_service.gateway", "dras_service.gathering"),
    ("dras_service.pacs", "dras_service.gathering"),
    ("dras_service.gathering", "dras_service.store"),
    ("dras_service.worker", "dras_service.store"),
    ("dras_service.worker", "dras_model.pipeline"),
    ("dras_service.batch", "dras_model.pipeline"),
    ("dras_cli.commands.extract", "dras_model.pipeline"),
    ("dras_model.pipeline", "dras_model.preparing"),
    ("dras_model.pipeline", "dras_model.encoding"),
    ("dras_model.pipeline", "dras_model.outputs"),
    ("dras_model.preparing", "dras_model.scores"),
)
_WIDTH, _HEIGHT, _ACROSS, _DOWN = 214, 50, 262, 110


def way_of_a_study() -> str:
    """Draw who calls whom while a study becomes a result."""
    graph = import_graph()
    real = {
        pair for pair in IMPORTS if graph.chain_exists(importer=pair[0], imported=pair[1], as_packages=True)
    }
    _hold(set(IMPORTS), real)
    boxes = {
        name: Box(column * _ACROSS, row * _DOWN, _WIDTH, _HEIGHT, name.partition("_")[2], told)
        for name, (column, row, told) in STEPS.items()
    }
    lines = [f'<path class="way" d="{_way(boxes[start], boxes[end])}"/>' for start, end in IMPORTS]
    for box in boxes.values():
        lines += box.svg("room")
    return _picture(lines, -8, 3 * _ACROSS + _WIDTH + 8, 3 * _DOWN + _HEIGHT + 8, _SAID["way"])


def _way(start: Box, end: Box) -> str:
    """Lead from box to box: along the row where both are in one, else down."""
    if start.y == end.y:
        left_to_right = start.x < end.x
        begin = start.x + start.width if left_to_right else start.x
        stop = end.x - 2 if left_to_right else end.x + end.width + 2
        return f"M{begin} {start.y + _HEIGHT / 2} H{stop}"
    begin, stop = start.x + start.width / 2, end.x + end.width / 2
    if start.x < end.x:
        stop -= 40
    elif start.x > end.x:
        stop += 40
    bend = end.y - 26
    return f"M{begin} {start.y + _HEIGHT} V{bend} H{stop} V{end.y - 2}"


_SAID = {
    "packages": "Five packages; the command imports service and training, which import the SDK and the model.",
    "way": "A study comes in by HTTP, DICOM or the command, and goes through the pipeline to its outputs.",
}


def _hold(drawn: set[tuple[str, str]], real: set[tuple[str, str]]) -> None:
    if wrong := drawn ^ real:
        pairs = ", ".join(f"{start} -> {end}" for start, end in sorted(wrong))
        raise ValueError(f"Drawn and not imported, or imported and not drawn: {pairs}.")


def _picture(lines: Sequence[str], left: int, right: int, bottom: int, said: str) -> str:
    box = f"{left} -8 {right - left} {bottom + 8}"
    ground = f'<rect class="ground" x="{left}" y="-8" width="{right - left}" height="{bottom + 8}"/>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{escape(said)}">',
            f"<style>{STYLE}</style><defs>{TIP}</defs>{ground}",
            *lines,
            "</svg>\n",
        ]
    )


def main(folder: Path) -> None:
    """Write both pictures."""
    (folder / "packages.svg").write_text(packages(), "utf-8")
    (folder / "way-of-a-study.svg").write_text(way_of_a_study(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
