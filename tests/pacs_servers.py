"""Real systems of a hospital for tests: one Orthanc for the whole run, and the commands of DCMTK.

Whoever shares the Orthanc keeps to studies of its own. A program that is not installed skips its tests by name.
"""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers import Server, free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (`make test-programs`)")
    return found


class Orthanc(Server):
    """A PACS: REST, DIMSE and, where its plugin is installed, DICOMweb; only on loopback."""

    name = "orthanc"
    ae_title = "ORTHANC"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.dicom_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.dicomweb = f"{self.url}/dicom-web"

    def command(self) -> list[str]:
        settings = {
            "Name": "PACS of a test",
            "StorageDirectory": str(self.folder / "files"),
            "IndexDirectory": str(self.folder / "files"),
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomAlwaysAllowFind": True,
            "ConcurrentJobs": 8,
            "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
        }
        (self.folder / "orthanc.json").write_text(json.dumps(settings))
        return [program("Orthanc"), str(self.folder / "orthanc.json")]

    def ask(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """Ask the REST interface; bytes are sent as they are, anything else as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def file(self, instance: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/instances/{instance}/file", timeout=60) as answer:
            return bytes(answer.read())

    def keep(self, folder: Path) -> None:
        """Take every file of a folder."""
        for path in sorted(folder.iterdir()):
            self.ask("/instances", path.read_bytes())

    def study(self, study_uid: str) -> str | None:
        """Return Orthanc's own name of a study."""
        found = self.ask("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": study_uid}})
        return found[0] if found else None

    def series(self, study_uid: str) -> dict[str, list[str]]:
        """Return the instances of a study by modality."""
        if (study := self.study(study_uid)) is None:
            return {}
        told = self.ask(f"/studies/{study}/series")
        found: dict[str, list[str]] = {}
        for series in told:
            found.setdefault(series["MainDicomTags"]["Modality"], []).extend(series["Instances"])
        return found

    def knows(self, name: str, ae_title: str, port: int) -> None:
        """Tell it of a system that it may send to."""
        self.ask(f"/modalities/{name}", {"AET": ae_title, "Host": "127.0.0.1", "Port": port}, method="PUT")

    def send(self, name: str, study_uid: str) -> None:
        """Have it send a study, and wait for that."""
        self.ask(f"/modalities/{name}/store", {"Resources": [self.study(study_uid)], "Synchronous": True})


@pytest.fixture(scope="session")
def orthanc(server_folder: Path) -> Iterator[Orthanc]:
    """One for the whole run."""
    program("Orthanc")
    folder = server_folder / "orthanc"
    (folder / "files").mkdir(parents=True)
    server = Orthanc(folder)
    server.start()
    for _ in range(200):
        try:
            server.ask("/system")
            break
        except OSError:
            time.sleep(0.05)
    yield server
    server.end()


def said(*command: str | Path) -> str:
    """Run a program; return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
