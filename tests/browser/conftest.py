"""One service and one browser for all tests of the page; each test gets a context, or a page, of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from browser.relay import Relay
from dras_cli.phantoms import write_phantom
from dras_model.imaging.phantom import PhantomSpec
from integration.serving import Serving, wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (dras[dev])")

JOB_WITHIN_S = 600.0
CHROMIUM = shutil.which("chromium")
# What a browser would ask of the world by itself is switched off; pictures are drawn by the processor.
SWITCHES = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@dataclass
class Site:
    """A service that asks for a key, with one study computed, and how it is reached."""

    serving: Serving
    key: str
    job: str = ""
    result: dict = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.serving.url

    @property
    def api(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=60)


@pytest.fixture(scope="session")
def real_study() -> Path | None:
    """A real CT of 64 slices, where the material beside the project is there."""
    root = Path(os.environ.get("DRAS_SHARED", Path(__file__).parents[3] / "shared"))
    study = root / "ct" / "soft_kernel_philips_5mm"
    return study if study.is_dir() else None


@pytest.fixture(scope="session")
def chest(real_study: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study that is sent through the page: the real one, a phantom where there is none."""
    if real_study is not None:
        return real_study
    folder = tmp_path_factory.mktemp("browser") / "chest"
    write_phantom(folder, PhantomSpec(seed=3, n_slices=64, matrix=128, thickness_mm=5.0))
    return folder


@pytest.fixture(scope="session")
def two_slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is refused."""
    folder = tmp_path_factory.mktemp("browser") / "two slices"
    write_phantom(folder, PhantomSpec(seed=3, n_slices=2, matrix=64, thickness_mm=5.0))
    return folder


@pytest.fixture(scope="session")
def site(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; `make test-programs` installs it")
    data = tmp_path_factory.mktemp("page") / "data"
    serving = Serving(data, DRAS_AUTHENTICATION__REQUIRED="true", DRAS_QUEUE__SWEEP_INTERVAL_S="0.2")
    assert serving.url, serving.stop() or serving.errors
    made = subprocess.run(
        [sys.executable, "-m", "dras_cli.main", "keys", "create", "--data", str(data), "--json"],
        capture_output=True,
        check=True,
        env=os.environ | {"DRAS_AUTHENTICATION__REQUIRED": "true"},
    )
    yield Site(serving, json.loads(made.stdout)["key"])
    assert serving.stop() == 0


@pytest.fixture(scope="session")
def relay(site: Site) -> Iterator[Relay]:
    """Another address of the same service, whose connections can be cut."""
    with Relay(int(site.url.rpartition(":")[2])) as relay:
        yield relay


# Playwright runs an event loop for as long as it is open, in which no other test of the process could run its own.
@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield launched
        launched.close()


@dataclass
class Tab:
    """A page with what it said on its console and asked for."""

    page: "playwright.Page"
    said: list[str] = field(default_factory=list)
    asked: list["playwright.Request"] = field(default_factory=list)

    def sign_in(self, key: str) -> None:
        self.page.get_by_label("Key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()

    def wait_for_images(self, *, within_s: float = 60.0) -> None:
        self.page.locator("output.reading span").first.wait_for(timeout=1000 * within_s)

    def problems(self) -> list[str]:
        """What went wrong by the browser's own account; an answer of 4xx that was meant is told there as well."""
        return [text for text in self.said if "the server responded with a status of" not in text]


@pytest.fixture
def open_tab(browser, site: Site) -> Iterator[Callable[..., Tab]]:
    """Open a tab with storage of its own; `key` is put where the page keeps it, as after signing in."""
    contexts = []

    def open_one(
        where: str = "/",
        *,
        key: str | None = None,
        url: str | None = None,
        width: int = 1440,
        script: str | None = None,
        before: Callable[[Tab], None] = lambda _tab: None,
        **options,
    ) -> Tab:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        if key is not None:
            context.add_init_script(f"sessionStorage.setItem('dras-key', {json.dumps(key)})")
        if script is not None:
            context.add_init_script(script)
        tab = Tab(context.new_page())
        tab.page.on("console", lambda message: tab.said.append(f"{message.type}: {message.text}"))
        tab.page.on("pageerror", lambda fault: tab.said.append(f"uncaught: {fault}"))
        tab.page.on("request", lambda request: tab.asked.append(request))  # noqa: PLW0108 - it is marked
        before(tab)
        tab.page.goto((url or site.url) + where)
        return tab

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def computed(site: Site, chest: Path) -> Site:
    """The site with a result, put there without the page."""
    files = [("file", (str(n), path.read_bytes())) for n, path in enumerate(sorted(chest.iterdir()))]
    with site.api as api:
        site.job = api.post("/v1/studies", files=files).raise_for_status().json()["id"]
        wait_until(
            lambda: _has_result(api, site.job),
            within_s=JOB_WITHIN_S,
            what="the study is computed",
        )
        site.result = api.get(f"/v1/jobs/{site.job}/result").json()
    return site


@pytest.fixture(scope="session")
def small_job(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another result to compare with, of a scan that is quickly computed."""
    folder = tmp_path_factory.mktemp("browser") / "small"
    write_phantom(folder, PhantomSpec(seed=5, n_slices=60, matrix=96))
    files = [("file", (str(n), path.read_bytes())) for n, path in enumerate(sorted(folder.iterdir()))]
    with site.api as api:
        job = str(api.post("/v1/studies", files=files).raise_for_status().json()["id"])
        wait_until(lambda: _has_result(api, job), within_s=JOB_WITHIN_S, what="the small study is computed")
    return job


def _has_result(api: httpx2.Client, job: str) -> bool:
    return api.get(f"/v1/jobs/{job}").json()["state"] in ("succeeded", "succeeded_with_warnings", "partial")


@pytest.fixture(scope="session")
def axe() -> str:
    """The checker of accessibility, as `make test-programs` fetches it."""
    path = Path(__file__).parents[2] / "deploy/page/node_modules/axe-core/axe.min.js"
    if not path.exists():
        pytest.skip("axe-core is not installed; `make test-programs` fetches it where there is npm")
    return path.read_text("utf-8")
