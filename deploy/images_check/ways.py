"""The ways of a study through a service of the images: looked at, sent over HTTP, sent by a PACS.

What has to come of it is every file of a result, the report, the copy to look at and the DICOM objects included.
Programs run in the images by their own users, with a key that is made there.
"""

import time

from buildah import Container

NODE_PORT = 11112
WAITED_S = 600
FILES = {
    "result.json", "regions.csv", "regions.parquet", "patches.csv", "patches.parquet", "features.npz",
    "feature_map.nii.gz", "laa_map.nii.gz", "lungs.nii.gz", "qc.png", "report.pdf", "report.html",
    "view.nii.gz", "view_lungs.nii.gz", "dras_sr.dcm", "dras_seg.dcm", "dras_map.dcm",
}  # fmt: skip
_CONFIGURATION = f"""
[node]
host = "0.0.0.0"
port = {NODE_PORT}
[peers.scanner]
ae_title = "SCANNER"
addresses = ["127.0.0.1"]
[routes.chest]
tenant = "check"
quiet_s = 3
"""
_OVER_HTTP = f"""
import os, pathlib
from dras_client import Client, JobOptions
with Client(os.environ["URL"]) as client:
    looked = client.validate("/exchange/study")
    assert looked.usable and looked.n_files, looked
    job = client.submit("/exchange/study", options=JobOptions(dicom=True))
    job.wait(timeout_s={WAITED_S})
    job.download("/exchange/out")
missing = {FILES!r} - {{path.name for path in pathlib.Path("/exchange/out").iterdir()}}
assert not missing, missing
"""
_FROM_PACS = f"""
import os, time
from dras_client import Client
with Client(os.environ["URL"]) as client:
    deadline = time.monotonic() + {WAITED_S}
    while len(jobs := list(client.jobs())) < 2:
        assert time.monotonic() < deadline, "no job came of it"
        time.sleep(1)
    jobs[0].wait(timeout_s={WAITED_S})
    print(jobs[0].result().status)
"""


def make_phantoms(worker: Container) -> None:
    """Make two studies of two invented people in the room that all containers share."""
    for seed, place in ((0, "study"), (1, "sent")):
        size = ("--slices", "64", "--matrix", "96", "--emphysema", "0.1")
        worker.require("dras", "phantom", f"/exchange/{place}", "--seed", str(seed), *size)


def over_http(gateway: Container, url: str) -> float:
    """Have a study looked at, submitted and all of its files fetched; return the seconds that it took."""
    scopes = ("--scope", "submit", "--scope", "read")
    gateway.require(
        *("dras", "keys", "create", "--tenant", "check", *scopes, "--days", "1", "-o", "/exchange/key")
    )
    began = time.monotonic()
    _ask(gateway, url, _OVER_HTTP)
    return time.monotonic() - began


def listening(node: Container) -> dict[str, str]:
    """Write the file of the node; return the environment that it runs in."""
    (node.outside("/exchange") / "pacs.toml").write_text(_CONFIGURATION, "utf-8")
    return {"DRAS_PACS": "/exchange/pacs.toml"}


def from_pacs(node: Container, gateway: Container, url: str) -> float:
    """Send a study by C-STORE as a PACS does, and wait for its result; return the seconds that it took."""
    began = time.monotonic()
    titles = ("-aet", "SCANNER", "-aec", "DRAS")
    node.require(
        "python", "-m", "pynetdicom", "storescu", "-r", *titles, "127.0.0.1", str(NODE_PORT), "/exchange/sent"
    )
    _ask(gateway, url, _FROM_PACS)
    return time.monotonic() - began


def _ask(gateway: Container, url: str, program: str) -> None:
    script = 'export URL="$1" DRAS_API_KEY="$(cat /exchange/key)"; exec python -c "$2"'
    gateway.require("sh", "-c", script, "sh", url, program)
