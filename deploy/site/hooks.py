"""What MkDocs is told beyond mkdocs.yml: documents of the repository's root are pages, and links leave no site.

README, CONTRIBUTING, CHANGELOG and SECURITY stay where a repository has them and are pages all the same; README is
the home page. A link from a page to a file that is in the repository and not in the site keeps its text alone. What
is in neither is left as it is, so that a strict build fails of it.
"""

import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[2]
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
ROOT_FILES = ("LICENSE", "CITATION.cff")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_PICTURE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the root."""
    for source, page in ROOT_PAGES.items():
        text = (REPOSITORY / source).read_text("utf-8")
        files.append(File.generated(config, page, content=text))
    for name in ROOT_FILES:
        files.append(File.generated(config, name, abs_src_path=str(REPOSITORY / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  MkDocs' own call
    """Lead links to where their targets are in the site; code is left alone."""
    at_root = {page: PurePosixPath(source) for source, page in ROOT_PAGES.items()}
    here = at_root.get(page.file.src_uri, PurePosixPath("docs") / page.file.src_uri)
    depth = len(PurePosixPath(page.file.src_uri).parents) - 1
    site = {file.src_uri for file in files}

    def lead(found: re.Match[str]) -> str:
        target = found["target"]
        if ":" in target:
            return found[0]
        path = normal(here.parent / target)
        inside = ROOT_PAGES.get(str(path)) or str(path).removeprefix("docs/")
        if inside in site and (str(path).startswith("docs/") or str(path) in (*ROOT_PAGES, *ROOT_FILES)):
            text = f"[{found['text']}]({'../' * depth}{inside}{found.groupdict().get('anchor') or ''})"
            return f"!{text}" if found[0].startswith("!") else text
        return found["text"] if (REPOSITORY / path).exists() else found[0]

    parts = _FENCED.split(markdown)
    parts[::2] = [_PICTURE.sub(lead, _LINK.sub(lead, part)) for part in parts[::2]]
    return "".join(parts)


def normal(path: PurePosixPath) -> PurePosixPath:
    """Resolve `..` of a path in the repository by its text."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return PurePosixPath(*parts)
