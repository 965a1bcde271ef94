"""What whoever prints a report may choose about the page: nothing of it comes from the study's headers."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

Paper: TypeAlias = Literal["a4", "letter"]
MOST_LABEL = 80  # letters: one line of the page


@dataclass(frozen=True, slots=True)
class Page:
    """`label` is the user's own name of the study, `day` the date to print; without them neither is on the page.

    Raises ValueError for a label that is longer than MOST_LABEL or holds control characters.
    """

    label: str | None = None
    day: date | None = None
    paper: Paper = "a4"

    def __post_init__(self) -> None:
        if self.label is not None and not (self.label.isprintable() and 0 < len(self.label) <= MOST_LABEL):
            raise ValueError(f"a label has 1 to {MOST_LABEL} printable letters")


DEFAULT_PAGE = Page()

# What the fonts of the page hold (`fonts/`): Latin, Greek, Cyrillic and the signs of the numbers.
_DRAWABLE = (
    (0x20, 0x7E), (0xA0, 0x17F), (0x384, 0x386), (0x388, 0x38A), (0x38C, 0x38C), (0x38E, 0x3A1), (0x3A3, 0x3CE),
    (0x400, 0x45F), (0x2010, 0x2010), (0x2012, 0x2015), (0x2018, 0x201E), (0x2020, 0x2022), (0x2026, 0x2026),
    (0x2030, 0x2030), (0x2032, 0x2033), (0x2039, 0x203A), (0x20AC, 0x20AC), (0x2122, 0x2122), (0x2212, 0x2212),
    (0x2248, 0x2248), (0x2260, 0x2260), (0x2264, 0x2265),
)  # fmt: skip
DRAWABLE = frozenset(chr(code) for first, last in _DRAWABLE for code in range(first, last + 1))
_SPACE = re.compile(r"\s+")


def drawable(text: str) -> str:
    """Return `text` on one line, with a question mark for each letter that the page's fonts do not hold."""
    return "".join(letter if letter in DRAWABLE else "?" for letter in _SPACE.sub(" ", text).strip())
