"""Asks a real Prometheus for every panel and every alert, of a gateway and a worker at work: `make watching-check`.

The tests know that each number is exported; whether an expression has an answer, and whether the labels that a
panel is told by are in it, is seen here. Grafana draws what Prometheus answers; how that looks is left out, and so
is what this machine has not: a panel of GPUs is empty here.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from dras_client import Client
from dras_client.errors import DrasClientError

DEPLOY = Path(__file__).parent
DRAS = str(Path(sys.executable).with_name("dras"))
EVERY_S = 1  # Prometheus looks, in place of 15
WITHIN_S = 300.0
# What has no answer while all is well on a machine without a GPU.
MAY_BE_EMPTY = re.compile(r"_gpu_|state=\"quarantined\"")


@dataclass(frozen=True, slots=True)
class Asked:
    """A panel's expression and its answer: how many series, how many of them a number, and what is wrong."""

    board: str
    panel: str
    expression: str
    series: int = 0
    numbers: int = 0
    fault: str = ""


def main() -> int:
    """Run everything; the exit status is 1 where an expression has an error, or none of the answers it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the answers are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dras-watching-") as room, ExitStack() as stack:
        folder = Path(room)
        url = stack.enter_context(service(folder))
        prometheus = stack.enter_context(watched(folder, url))
        work(folder, url, between=lambda: wait_for_scrape(prometheus))
        make_busy(folder, url, prometheus)
        panels = [ask(prometheus, *panel) for panel in all_panels()]
        alerts = [ask(prometheus, *alert) for alert in all_alerts()]
    told = {"panels": [asdict(panel) for panel in panels], "alerts": [asdict(alert) for alert in alerts]}
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    faults = [asked for asked in (*panels, *alerts) if asked.fault]
    for asked in faults:
        sys.stderr.write(f"{asked.board}, {asked.panel}: {asked.fault}: {asked.expression}\n")
    empty = sum(not panel.series for panel in panels)
    sys.stdout.write(
        f"{len(panels)} expressions of panels, {empty} of them empty as expected, and {len(alerts)} of alerts:"
        f" {len(faults)} faults\n"
    )
    return 1 if faults else 0


def all_panels() -> Iterator[tuple[str, str, str, str]]:
    """Yield board, panel, expression and legend of every target."""
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield path.stem, panel["title"], target["expr"], target.get("legendFormat", "")


def all_alerts() -> Iterator[tuple[str, str, str, None]]:
    """Yield the alerts; a service that is well answers none of them."""
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]:
        yield "alerts", rule["alert"], rule["expr"], None


def ask(prometheus: str, board: str, panel: str, expression: str, legend: str | None) -> Asked:
    """Evaluate an expression now; `legend` is a panel's, None of an alert."""
    try:
        found = query(prometheus, expression)
    except urllib.error.HTTPError as error:
        return Asked(board, panel, expression, fault=json.load(error)["error"])
    numbers = sum(one["value"][1] != "NaN" for one in found)
    missing = {label for one in found for label in re.findall(r"{{(\w+)}}", legend or "")} - {
        label for one in found for label in one["metric"]
    }
    if missing:
        fault = f"no label {', '.join(sorted(missing))}"
    elif legend is None and found:
        fault = "raised, although all is well"
    elif legend is not None and not numbers and not MAY_BE_EMPTY.search(expression):
        fault = "no answer"
    else:
        fault = ""
    return Asked(board, panel, expression, len(found), numbers, fault)


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """Return the series of an expression's answer. Raises HTTPError."""
    address = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def work(folder: Path, url: str, *, between: Callable[[], None]) -> None:
    """Have studies computed and refused and a caller sent away, twice: every number grows while it is watched."""
    for number in (1, 2):
        study = folder / f"study-{number}"
        command = [DRAS, "phantom", str(study), "--seed", str(number), "--slices", "64", "--matrix", "96"]
        run(command)
        with Client(url, key=key_of(folder, "ward")) as client:
            client.submit(study).wait()
            with suppress(DrasClientError):
                client.submit(min(study.iterdir())).wait()  # one slice is no volume
        with Client(url, key="nobody's") as stranger, suppress(DrasClientError):
            stranger.submit(study)
        between()


def make_busy(folder: Path, url: str, prometheus: str) -> None:
    """Leave a worker four studies at once, and wait until Prometheus has seen some wait and one at work."""
    with Client(url, key=key_of(folder, "ward")) as client:
        for number in (1, 2, 1, 2):
            client.submit(folder / f"study-{number}", repeat=True)
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if len(query(prometheus, 'dras_jobs{state=~"queued|preparing|encoding|finishing"}')) > 1:
            return
        time.sleep(EVERY_S / 4)
    raise SystemExit("Prometheus did not see a worker at work.")


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Run gateway and worker; yield the address."""
    data = str(folder / "data")
    for tenant, scopes in (("ward", ("submit", "read")), ("watch", ("metrics",))):
        words = [word for scope in scopes for word in ("--scope", scope)]
        out = str(folder / f"{tenant}.key")
        run([DRAS, "keys", "create", "--tenant", tenant, *words, "--data", data, "-o", out])
    command = [DRAS, "serve", "--port", "0", "--data", data, "--require-key", "--json"]
    with started(command, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline() if process.stdout else b""
        yield json.loads(line)["url"]


@contextmanager
def watched(folder: Path, url: str) -> Iterator[str]:
    """Run Prometheus by the delivered configuration, but for addresses and the interval; yield its address."""
    program = shutil.which("prometheus")
    if program is None:
        raise SystemExit("prometheus is missing; sudo apt install prometheus")
    text = (DEPLOY / "prometheus/prometheus.yml").read_text("utf-8")
    address = f"127.0.0.1:{free_port()}"
    for given, here in (
        ("15s", f"{EVERY_S}s"),
        ("/secrets/metrics.key", str(folder / "watch.key")),
        ('"gateway-a:8042", "gateway-b:8042"', f'"{urllib.parse.urlsplit(url).netloc}"'),
        ("localhost:9090", address),
    ):
        if given not in text:
            raise SystemExit(f"prometheus.yml no longer says {given}.")
        text = text.replace(given, here)
    (folder / "prometheus.yml").write_text(text, "utf-8")
    shutil.copy(DEPLOY / "prometheus/alerts.yml", folder)
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb")
    with started([program, *options, f"--web.listen-address={address}"]) as process:
        wait_for_scrape(f"http://{address}", process)
        yield f"http://{address}"


def wait_for_scrape(prometheus: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Wait until Prometheus has looked at the gateway three times more."""
    began, deadline = time.time(), time.monotonic() + WITHIN_S
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        with suppress(OSError):
            told = query(prometheus, 'timestamp(up{job="dras"} == 1)')
            if told and float(told[0]["value"][1]) > began + 3 * EVERY_S:
                return
        time.sleep(EVERY_S / 2)
    raise SystemExit("Prometheus did not see the gateway.")


@contextmanager
def started(
    command: Sequence[str], *, stdout: int = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program for as long as the block lasts."""
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(command: Sequence[str]) -> None:
    """Run a command of ours to its end."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def key_of(folder: Path, tenant: str) -> str:
    """Return the key that was made for a tenant."""
    return (folder / f"{tenant}.key").read_text("utf-8").strip()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
