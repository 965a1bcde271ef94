"""Times the page in Chromium: from its address to a result's first slices, and the frames while it is scrolled.

A service of its own computes one phantom of the size asked for; then the page is opened in a new profile for
each run, at the address of the result. Pictures are drawn by the processor (SwiftShader), which any graphics
card outdoes. Frames are told by the browser itself, one slice a frame; those of a page that only counts them
are the measure of what the machine allows at that moment.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from report import keep, options_of_size

from dras_client import Client
from dras_model.imaging.phantom import Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.phantom_dicom import write_series

OPEN_BOUND_S = 3.0
SWITCHES = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader"]  # fmt: skip
N_FRAMES = 45
# Move the axial slider by one slice a frame, as a finger on it does, and tell how far the frames lay apart.
FRAMES = """async ([scrolls, count]) => {
  const slider = document.querySelector("#slice-axial");
  const times = [];
  let at = 1;
  for (let n = 0; n <= count; n++) {
    times.push(await new Promise(requestAnimationFrame));
    if (!scrolls) continue;
    at = at % Number(slider.max) + 1;
    slider.value = String(at);
    slider.dispatchEvent(new Event("input"));
  }
  return times.slice(1).map((time, n) => time - times[n]);
}"""


def main() -> None:
    parser = options_of_size(__doc__, "page")
    parser.add_argument("--url", help="a service that is there already, without authentication")
    parser.add_argument("--job", help="a result of it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
        if options.url:
            report = _measured(browser, options.url, options.job, options.runs)
        else:
            report = _of_a_service(browser, Path(scratch), options)
        browser.close()
    print(json.dumps(report, indent=1))
    keep(report, options.out)


def _of_a_service(browser: Browser, scratch: Path, options: argparse.Namespace) -> dict[str, object]:
    emphysema = Emphysema(EmphysemaKind.CENTRILOBULAR, 0.1)
    spec = PhantomSpec(
        seed=1, n_slices=options.slices, matrix=options.matrix, noise_hu=20.0, emphysema=emphysema
    )
    write_series(make_phantom(spec).volume, scratch / "study")
    command = [
        sys.executable,
        "-m",
        "dras_cli.main",
        "serve",
        "--port",
        "0",
        "--json",
        "--data",
        str(scratch / "data"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = json.loads(process.stdout.readline() if process.stdout else "")["url"]
            with Client(url) as client:
                job = client.submit(scratch / "study")
                job.wait(600.0)
            return _measured(browser, url, job.id, options.runs)
        finally:
            process.send_signal(signal.SIGTERM)


def _measured(browser: Browser, url: str, job: str, runs: int) -> dict[str, object]:
    opened: list[float] = []
    frames: dict[str, list[float]] = {"idle": [], "scrolled": [], "scrolled_with_patches": []}
    counted: dict[str, Any] = {}
    for _ in range(runs + 1):  # the first warms up
        context = browser.new_context(viewport={"width": 1440, "height": 1000})
        page = context.new_page()
        started = time.perf_counter()
        page.goto(f"{url}/#job={job}")
        page.locator("output.reading span").first.wait_for(timeout=120_000)
        opened.append(time.perf_counter() - started)
        frames["idle"] += page.evaluate(FRAMES, [False, N_FRAMES])
        frames["scrolled"] += page.evaluate(FRAMES, [True, N_FRAMES])
        _colour(page)
        frames["scrolled_with_patches"] += page.evaluate(FRAMES, [True, N_FRAMES])
        counted = page.evaluate(
            "() => ({files: performance.getEntriesByType('resource').length,"
            " bytes: performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0)})"
        )
        context.close()
    return {
        "runs": runs,
        "open_bound_seconds": OPEN_BOUND_S,
        "open_seconds": {"median": statistics.median(opened[1:]), "all": opened[1:]},
        "frame_ms": {name: _summary(times) for name, times in frames.items()},
        "loaded": counted,
    }


def _colour(page: Page) -> None:
    page.select_option("#patch-quantity", "laa950")
    page.get_by_label("Low attenuation").check()
    page.evaluate("() => new Promise(requestAnimationFrame)")


def _summary(times: list[float]) -> dict[str, float]:
    ranked = sorted(times)
    return {
        "median": statistics.median(ranked),
        "p95": ranked[int(0.95 * (len(ranked) - 1))],
        "worst": ranked[-1],
    }


if __name__ == "__main__":
    main()
