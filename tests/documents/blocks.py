"""The code blocks of the documents, and the marker that says why one is not run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
# Printed from the code, and held against it by tests of their own.
PRINTED = {"codes.md", "command.md", "http-reference.md", "licences.md", "scores.md", "settings.md"}
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in PRINTED),
]
_NOT_RUN = re.compile(r"^<!-- not run: (?P<reason>.+) -->$", re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    reason: str | None  # why it is not run; None where it is

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Every block of the documents in one of the languages, all by default."""
    found = (block for page in PAGES for block in blocks_of(page))
    return [block for block in found if not languages or block.language in languages]


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order; a comment just before one is its marker."""
    reason = None
    for token in MarkdownIt().enable("table").parse(page.read_text("utf-8")):
        if token.type == "html_block":
            found = _NOT_RUN.match(token.content.strip())
            reason = found["reason"] if found else None
            continue
        if token.type in ("fence", "code_block"):
            yield Block(page, (token.map or [0])[0] + 1, token.info.strip(), token.content, reason)
        reason = None
