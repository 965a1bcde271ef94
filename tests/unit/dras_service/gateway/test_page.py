import re
from importlib.resources import files
from pathlib import Path, PurePosixPath

import pytest

from dras_model.outputs.report.wording import title_of
from dras_model.results.codes import Code

WEB = Path(str(files("dras_service.gateway") / "web"))
OWN = sorted(
    path for path in WEB.rglob("*") if path.suffix in (".js", ".css", ".html") and "vendor" not in path.parts
)
MOST_LINES = 200
MOST_VENDOR_BYTES = 3_000_000


def test_the_page_needs_no_key_and_lets_nothing_foreign_in(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.head("/").headers["etag"] == answer.headers["etag"]


def test_a_file_that_is_known_is_not_sent_again(client):
    first = client.get("/page/main.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert client.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_every_module_of_the_page_is_asked_for_at_once(client):
    index = client.get("/").text
    linked = re.findall(r'<link rel="modulepreload" href="([^"]+)">', index)
    own = {f"/page/{path.relative_to(WEB).as_posix()}" for path in OWN if path.suffix == ".js"}
    assert set(linked) == (own | {"/page/words.js"}) - {"/page/upload/worker.js"}
    assert len(linked) == len(set(linked))
    assert index.index(linked[-1]) < index.index("</head>")


@pytest.mark.parametrize(
    "path",
    ["/page/index.html", "/page/../app.py", "/page/%2e%2e/app.py", "/page/", "/page/vendor/niivue.d.ts"],
)
def test_nothing_else_is_a_file_of_the_page(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_the_page_is_read_and_nothing_else(client):
    answer = client.post("/")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_a_warning_is_called_on_the_page_what_the_report_calls_it(client):
    words = client.get("/page/words.js").text
    assert f'"SHARP_KERNEL": "{title_of(Code.SHARP_KERNEL)}"' in words
    assert '"right_apical": "Right upper third"' in words


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(WEB).as_posix())
def test_whatever_a_file_loads_is_served_and_lies_here(client, path):
    text = path.read_text("utf-8")
    base = PurePosixPath("/page") / path.relative_to(WEB).as_posix()
    loaded = re.findall(r"""(?:from|import\()\s*"(\.[^"]+)\"""", text)
    named = [str(base.parent / name) for name in loaded if "@import" not in name]
    named += re.findall(r"""(?:src|href)="(/page/[^"]+)\"""", text) + re.findall(r'"(/page/[^"]+\.js)"', text)
    for name in named:
        parts: list[str] = []
        for part in name.split("/"):
            parts = parts[:-1] if part == ".." else [*parts, part] if part != "." else parts
        assert client.get("/".join(parts)).status_code == 200, name
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=lambda path: path.name)
def test_a_module_is_short_says_why_it_exists_and_parses_no_markup(path):
    text = path.read_text("utf-8")
    assert text.startswith("// ")
    assert len(text.splitlines()) <= MOST_LINES
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )


def test_the_foreign_file_is_small_and_its_licences_lie_beside_it(client):
    assert 0 < len(client.get("/page/vendor/niivue.js").content) < MOST_VENDOR_BYTES
    licences = client.get("/page/vendor/licences.txt").text
    assert "@niivue/niivue" in licences
    assert "BSD 2-Clause" in licences
