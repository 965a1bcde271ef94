"""`docs/decisions/README.md`, the index, printed from the titles: `python deploy/site/decisions.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path

DECISIONS = Path(__file__).parents[2] / "docs/decisions"
_HEAD = """# Decisions

Why things are as they are, in the order in which it was found out: context, measurement, decision. Printed by
`make docs` from the titles.
"""


def index() -> str:
    """Return the page. Raises ValueError where a title and its file's name have two numbers."""
    return "\n".join([_HEAD, "| | |", "|---|---|", *_rows()]) + "\n"


def _rows() -> Iterator[str]:
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        number, _, title = path.read_text("utf-8").splitlines()[0].removeprefix("# ").partition(": ")
        if not title or not path.name.startswith(f"{number}-"):
            raise ValueError(f"{path.name} begins with another number than its title, or with none.")
        yield f"| [{number}]({path.name}) | {title} |"


if __name__ == "__main__":
    sys.stdout.write(index())
