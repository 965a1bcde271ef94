"""Builds the images, runs a service from them, and takes studies through: `make images-check`.

buildah needs no daemon and, isolated by chroot, no registry: the base is a Debian root made by debootstrap, and
the locked wheels lie in a folder that pip fills by this machine's own configuration. Both are kept in --cache, so
that a second run takes minutes. Redis and PostgreSQL are Debian's. Leaves out the image for GPUs, which is linted
only, and what chroot cannot show, a read-only root: instead, every file is looked for that was written there.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from buildah import Buildah, Container
from refusals import check_refusals
from ways import from_pacs, listening, make_phantoms, over_http

HERE = Path(__file__).parent
DEPLOY, REPOSITORY = HERE.parent, HERE.parents[1]
BUILT = ("gateway", "worker-cpu", "training")
BOUNDS_MB = {"gateway": 350, "worker-cpu": 900}
HEAVY = ("SimpleITK", "onnxruntime", "scipy", "highdicom", "torch")  # what the gateway does without
TORCH = "torch==2.13.0"
START_WITHIN_S = 600.0  # on a machine that is busy otherwise, a worker needs minutes to prove itself
REDIS_PORT, POSTGRES_PORT, GATEWAY_PORT = 16379, 15432, 18042
ON_POSTGRES = ("-h", "127.0.0.1", "-p", str(POSTGRES_PORT))


def main() -> None:
    """Build, measure, run; the exit status is not 0 where the run fails. A size over its bound is said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cache", type=Path, required=True, help="outside the repository: base, wheels, storage"
    )
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--mirror", help="of Debian; debootstrap's own by default")
    parser.add_argument("--images", nargs="+", default=BUILT, choices=BUILT)
    parser.add_argument("--json", type=Path, help="where the sizes are kept")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that what was started is ended, too
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    buildah = Buildah(cache / "storage")
    make_base(buildah, cache / "base", suite=options.suite, mirror=options.mirror)
    wheels = fetch_wheels(cache / "wheels", options.images)
    try:
        sizes = build(buildah, wheels, options.images)
        if {"gateway", "worker-cpu"} <= set(options.images):
            run_the_service(buildah, cache / "run")
    finally:
        buildah.clean(keep=("base",))
    if options.json:
        known = json.loads(options.json.read_text("utf-8"))["mb_beyond_base"] if options.json.exists() else {}
        kept = {"mb_beyond_base": known | sizes, "most_mb": BOUNDS_MB}
        options.json.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    for name, bound_mb in BOUNDS_MB.items():
        if sizes.get(name, 0) > bound_mb:
            say(f"{name} is {sizes[name] - bound_mb} MB larger than the {bound_mb} MB that it should have")


def make_base(buildah: Buildah, root: Path, *, suite: str, mirror: str | None) -> None:
    """Make the image `base` of a fresh Debian root, where there is none yet."""
    if buildah.has("base"):
        return
    say("making a Debian root")
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(
        ["debootstrap", "--variant=minbase", suite, root, *([mirror] if mirror else [])],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # As the registry's image is: apt keeps nothing that it has fetched, and no manuals.
    (root / "etc/apt/apt.conf.d/clean").write_text(
        'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache ""; APT::Keep-Downloaded-Packages "false";\n'
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
    )
    manuals = ("usr/share/doc", "usr/share/man", "usr/share/locale")
    excluded = "".join(f"path-exclude /{folder}/*\n" for folder in manuals)
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(excluded)
    for folder in ("var/cache/apt", "var/lib/apt/lists", *manuals):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    (root / "var/cache/apt/archives").mkdir()
    buildah.import_root(root, "base")
    shutil.rmtree(root)


def fetch_wheels(folder: Path, images: Sequence[str]) -> Path:
    """Have pip fill a folder with what the locks name, hashes checked; no index is asked where all is there."""
    say("fetching wheels")
    folder.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", f"--wheel-dir={folder}", f"--find-links={folder}"]
    wanted = [
        ["--no-deps", "--require-hashes", "-r", str(DEPLOY / "requirements" / f"{name}.txt")]
        for name in ("build", *images)
    ]
    for words in [*wanted, *([[TORCH]] if "training" in images else [])]:
        if (
            subprocess.run([*pip, "--no-index", *words], check=False, stderr=subprocess.DEVNULL).returncode
            != 0
        ):
            subprocess.run([*pip, *words], check=True)
    return folder


def build(buildah: Buildah, wheels: Path, images: Sequence[str]) -> dict[str, int]:
    """Build the images, and return how many megabytes each has beyond the base."""
    arguments = {"BASE": "localhost/base", "PIP_OPTIONS": "--no-index --find-links=/wheels"}
    base_mb = buildah.size_mb("base")
    say(f"base: {base_mb} MB")
    sizes = {}
    for name in images:
        began = time.monotonic()
        file = DEPLOY / "docker" / f"{name}.Dockerfile"
        buildah.build(name, file, REPOSITORY, arguments=arguments, volume=f"{wheels}:/wheels:ro")
        sizes[name] = buildah.size_mb(name) - base_mb
        say(f"{name}: {sizes[name]} MB beyond the base, built in {time.monotonic() - began:.0f} s")
    return sizes


def run_the_service(buildah: Buildah, folder: Path) -> None:
    """Start a service from the images, and take a phantom through it each way there is."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("gateway", "worker-cpu", "blobs", "exchange", "tmp", "redis", "postgres"):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o777)  # each container's user is another
    file = HERE / "standins.Dockerfile"
    buildah.build("standins", file, HERE, arguments={"BASE": "localhost/base"}, volume=f"{folder}:/unused:ro")
    environment = {
        "DRAS_STORE__URL": f"postgresql+psycopg://postgres@127.0.0.1:{POSTGRES_PORT}/postgres",
        "DRAS_QUEUE__URL": f"redis://127.0.0.1:{REDIS_PORT}/0",
        "DRAS_BLOBS__FOLDER": "/blobs",
        "DRAS_GATEWAY__PORT": str(GATEWAY_PORT),
    }
    url = f"http://127.0.0.1:{GATEWAY_PORT}"
    with ExitStack() as stack:
        start_servers(stack.enter_context(buildah.container("standins")), stack, folder)
        names = ("gateway", "worker-cpu", "gateway")
        gateway, worker, node = containers = [stack.enter_context(buildah.container(name)) for name in names]
        for container in containers:
            shared = {folder / name: f"/{name}" for name in ("blobs", "exchange", "tmp")}
            container.configure(environment, {folder / container.image: "/data", **shared})
        say(f"{check_refusals(gateway, worker)} bad configurations were refused, each in a sentence")
        for container in (gateway, worker):
            stack.enter_context(container.running())
            wait(container, *container.health_check)
        check_light(gateway)
        make_phantoms(worker)
        say(f"a study was looked at, submitted, and all of it saved in {over_http(gateway, url):.1f} s")
        node.environ(listening(node))
        stack.enter_context(node.running("dras", "pacs", "listen"))
        wait(node, "python", "-m", "dras_service.pacs.alive")
        say(f"a study came by C-STORE and had its result in {from_pacs(node, gateway, url):.1f} s")
        for container in containers:
            if written := container.written():
                raise SystemExit(f"{container.image} wrote to its root: {', '.join(written[:5])}")
    say("nothing was written outside /data, /blobs and /tmp")
    shutil.rmtree(folder)


def start_servers(servers: Container, stack: ExitStack, folder: Path) -> None:
    """Start Redis by the configuration that is delivered, and PostgreSQL."""
    configuration = DEPLOY / "redis" / "redis.conf"
    volumes = {folder / "redis": "/redis", folder / "postgres": "/postgres", configuration: "/redis.conf:ro"}
    servers.configure({}, volumes)
    options = ("--port", str(REDIS_PORT), "--bind", "127.0.0.1", "--dir", "/redis")
    stack.enter_context(servers.running("redis-server", "/redis.conf", *options))
    servers.require(
        "initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres", "--pgdata=/postgres/data"
    )
    stack.enter_context(servers.running("postgres", "-D", "/postgres/data", "-k", "/postgres", *ON_POSTGRES))
    wait(servers, "pg_isready", *ON_POSTGRES)


def check_light(gateway: Container) -> None:
    """Make sure that the gateway's image does without what computes."""
    program = f"from importlib.util import find_spec; print([n for n in {HEAVY!r} if find_spec(n)])"
    if (found := gateway.require("python", "-c", program).strip()) != "[]":
        raise SystemExit(f"The gateway's image holds {found}.")


def wait(container: Container, *check: str) -> None:
    """Ask until a command succeeds."""
    deadline = time.monotonic() + START_WITHIN_S
    while container.call(*check).returncode != 0:
        if not container.is_running or time.monotonic() > deadline:
            raise SystemExit(f"{container.image} ended, or is not well after {START_WITHIN_S:.0f} s")
        time.sleep(1.0)
    say(f"{container.image} is well")


def say(line: str) -> None:
    """Print one line of progress."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
