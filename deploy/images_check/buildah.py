"""buildah as far as the check of the images needs it: storage of its own, chroot isolation, the host's network."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_END_WITHIN_S = 60.0
_SETTLE_S = 1.1  # file times of a container's start are left behind
_Volumes = Mapping[Path, str]


class Buildah:
    """A storage of images, which nothing else on the machine sees."""

    def __init__(self, storage: Path) -> None:
        places = ("--root", str(storage), "--runroot", f"{storage}-run")
        self._options = ("buildah", "--storage-driver", "vfs", *places)
        self._storage = storage

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command; what it prints on standard error is shown."""
        return subprocess.run([*self._options, *words], check=check, text=True, stdout=subprocess.PIPE)

    def command(self, *words: str) -> list[str]:
        """Return the command line, for a process that goes on."""
        return [*self._options, *words]

    def has(self, image: str) -> bool:
        """Whether there is an image of this name."""
        return self.run("images", "--quiet", "--filter", f"reference=localhost/{image}").stdout.strip() != ""

    def import_root(self, root: Path, name: str) -> None:
        """Make an image of one layer."""
        container = self.run("from", "scratch").stdout.strip()
        self.run("add", "--quiet", container, str(root), "/")
        self.run("commit", "--quiet", "--rm", container, f"localhost/{name}")

    def build(
        self, name: str, file: Path, context: Path, *, arguments: Mapping[str, str], volume: str
    ) -> None:
        """Build an image; layers in between are not kept, each would be a whole copy."""
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        options = ("--quiet", "--layers=false", "--format=docker", "--isolation=chroot", "--network=host")
        self.run(
            *("build-using-dockerfile", *options, *given, f"--volume={volume}"),
            *(f"--file={file}", f"--tag=localhost/{name}", "--pull=false", str(context)),
        )

    def size_mb(self, image: str) -> int:
        """Return how much disk an image's whole root takes."""
        with self.container(image) as container:
            used = subprocess.check_output(
                ["du", "-s", "--apparent-size", "--block-size=1000000", container.root], text=True
            )
        return int(used.split()[0])

    @contextmanager
    def container(self, image: str) -> Iterator["Container"]:
        """Make a container of an image, mounted; it is removed at the end."""
        name = self.run("from", f"localhost/{image}").stdout.strip()
        try:
            yield Container(self, image, name, Path(self.run("mount", name).stdout.strip()))
        finally:
            self.run("rm", name)

    def clean(self, *, keep: tuple[str, ...]) -> None:
        """Remove all containers and images but those to keep."""
        self.run("rm", "--all", check=False)
        for image in json.loads(self.run("images", "--all", "--json").stdout or "[]"):
            if not {name.rpartition("/")[2].partition(":")[0] for name in image.get("names") or ()} & set(
                keep
            ):
                self.run("rmi", "--force", image["id"], check=False)
        shutil.rmtree(f"{self._storage}-run", ignore_errors=True)


class Container:
    """A root that commands are run in, by the user and with the environment of its image."""

    def __init__(self, buildah: Buildah, image: str, name: str, root: Path) -> None:
        self.image = image
        self.root = root
        self._buildah = buildah
        self._name = name
        self._volumes: list[str] = []
        self._inside: dict[str, Path] = {}
        self._process: subprocess.Popen[bytes] | None = None
        told = json.loads(buildah.run("inspect", name).stdout)["Docker"]["config"]
        self.main: list[str] = (told.get("Entrypoint") or []) + (told.get("Cmd") or [])
        self.health_check: list[str] = ((told.get("Healthcheck") or {}).get("Test") or ["NONE"])[1:]

    def configure(self, environment: Mapping[str, str], volumes: _Volumes) -> None:
        """Give the environment and the volumes that every command from now on has."""
        self.environ(environment)
        self._inside = {place.partition(":")[0]: source for source, place in volumes.items()}
        self._volumes = [f"--volume={source}:{place}" for source, place in volumes.items()]
        self.call("true")  # makes the mount points
        time.sleep(_SETTLE_S)
        self._began = time.time()

    def environ(self, environment: Mapping[str, str]) -> None:
        """Add to the environment of every command from now on."""
        if environment:
            given = [f"--env={key}={value}" for key, value in environment.items()]
            self._buildah.run("config", *given, self._name)

    def outside(self, place: str) -> Path:
        """Return where a volume lies on this machine."""
        return self._inside[place]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return self._buildah.run(*self._run(words), check=False)

    def require(self, *words: str) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.call(*words)
        if done.returncode != 0:
            said = done.stdout[-2000:]
            raise SystemExit(f"{self.image}: {' '.join(words[:3])} ended with {done.returncode}: {said}")
        return done.stdout

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """Run a command, the image's own by default, for as long as the block lasts."""
        command = self._buildah.command(*self._run(words or tuple(self.main)))
        # In a session of its own: what buildah starts for it is ended by the group.
        self._process = process = subprocess.Popen(command, start_new_session=True)
        try:
            yield
            if process.poll() is not None:
                raise SystemExit(f"{self.image} ended with {process.returncode}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @property
    def is_running(self) -> bool:
        """Whether the latest command of `running` goes on."""
        return self._process is not None and self._process.poll() is None

    def written(self) -> list[str]:
        """Return the files of the root, outside of the volumes, that were written since `configure`."""
        outside = {"proc", "sys", "dev", "run", "etc"}  # chroot mounts over, or writes, these itself
        found = (
            path for place in self.root.iterdir() if place.name not in outside for path in place.rglob("*")
        )
        return [str(path) for path in found if not path.is_symlink() and path.lstat().st_mtime > self._began]

    def _run(self, words: tuple[str, ...]) -> tuple[str, ...]:
        options = ("run", "--isolation=chroot", "--network=host", f"--hostname={self.image}")
        return (*options, *self._volumes, self._name, "--", *words)
