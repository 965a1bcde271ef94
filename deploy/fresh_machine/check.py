"""Runs make's targets in a Debian root that has never seen the project: `make fresh-machine`.

The root is made by debootstrap and holds Debian's minimum, Python, make and git. A clone of HEAD goes in, and the
targets run by chroot, as root, in namespaces of their own: mounts and processes are gone when they end. What they
need they must fetch themselves, from where this machine's apt and pip are told to: the mirror is taken from apt,
pip's options are handed on as variables, and files that they name are bound read-only. The bare root is kept in
--cache. Leaves out what chroot cannot show: another kernel, and hardware.
"""

import argparse
import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
HAS = ("python3", "make", "git")
CLONE = Path("/root/dras")
HOST = Path("/host")  # for files of this machine: at their own places they would stand in apt's way
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
KEPT_LINES = 5  # of what each target printed last


def main() -> None:
    """Run the targets one after the other; the exit status is not 0 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=["demo", "test"], help="words for make, one call each")
    parser.add_argument("--cache", type=Path, required=True, help="outside the repository: the bare root")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--mirror", help="of Debian; that of this machine's apt by default")
    parser.add_argument(
        "--json", type=Path, help="where status, seconds and last lines of each target are kept"
    )
    parser.add_argument("--shared", type=Path, help="material that tests compare with, seen beside the clone")
    parser.add_argument("--keep", action="store_true", help="leave the root, and go on in it the next time")
    options = parser.parse_args()
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    bare = make_bare_root(cache / options.suite, suite=options.suite, mirror=options.mirror or apt_mirror())
    root = cache / "root"
    if not (options.keep and root.is_dir()):
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", bare, root], check=True)
        clone(root)
    commit = commit_in(root)
    try:
        runs = [run(root, shlex.split(target), shared=options.shared) for target in options.targets]
    finally:
        if not options.keep:
            shutil.rmtree(root)
    if options.json:
        kept = {"suite": options.suite, "has": HAS, "commit": commit, "runs": runs}
        options.json.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.exit(max(int(entry["status"] != 0) for entry in runs))


def make_bare_root(bare: Path, *, suite: str, mirror: str) -> Path:
    """Return a root of Debian's minimum with Python, make and git; it is made where there is none yet."""
    if not bare.is_dir():
        say(f"making a Debian root ({suite})")
        half = bare.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        options = ("--variant=minbase", f"--include={','.join(HAS)}")
        subprocess.run(["debootstrap", *options, suite, half, mirror], check=True, stdout=subprocess.DEVNULL)
        half.rename(bare)
    return bare


def apt_mirror() -> str:
    """Return where this machine's apt fetches Debian's main archive from."""
    words = ("--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian")
    found = subprocess.check_output(["apt-get", "indextargets", *words], text=True).split()
    if not found:
        raise SystemExit("apt of this machine knows no archive of Debian; name one with --mirror.")
    return found[0]


def clone(root: Path) -> None:
    """Put a clone of HEAD into the root, made there by its own git."""
    bundle = root / "root/dras.bundle"
    subprocess.run(["git", "-C", REPOSITORY, "bundle", "create", "--quiet", bundle, "HEAD"], check=True)
    subprocess.run(
        ["chroot", root, "git", "clone", "--quiet", "/root/dras.bundle", CLONE], check=True, env=ENVIRONMENT
    )
    bundle.unlink()


def commit_in(root: Path) -> str:
    """Return what was cloned into the root."""
    words = ("chroot", root, "git", "-C", CLONE, "rev-parse", "--short", "HEAD")
    return subprocess.check_output(words, text=True, env=ENVIRONMENT).strip()


def run(root: Path, words: Sequence[str], *, shared: Path | None = None) -> dict[str, object]:
    """Run one target in the root; what it prints is shown and its end kept."""
    say(f"make {' '.join(words)}")
    pip = pip_variables()
    read_only = {path: HOST / path.relative_to("/") for path in named_files(pip.values())}
    if shared is not None:
        read_only[shared.resolve()] = CLONE.with_name("shared")
    began = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(
        enter(root, read_only=read_only, words=("make", "-C", str(CLONE), *words)),
        env=ENVIRONMENT | {name: in_the_root(value) for name, value in pip.items()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            say(line.rstrip())
            lines = [*lines, line.rstrip()][-KEPT_LINES:]
    took_s = round(time.monotonic() - began)
    say(f"make {' '.join(words)}: status {process.returncode} after {took_s} s")
    return {"target": " ".join(words), "status": process.returncode, "seconds": took_s, "last_lines": lines}


def enter(root: Path, *, read_only: dict[Path, Path], words: Sequence[str]) -> list[str]:
    """Return the command that runs `words` in the root, with mounts that no other process sees.

    `read_only` says where in the root each path of this machine is.
    """
    steps = [
        f"mount --bind {root} {root}",
        *(f"mount --rbind /{name} {root}/{name}" for name in ("dev", "sys")),
    ]
    steps.append(f"mount -t proc proc {root}/proc")
    # What a machine knows of names: its own, which PyTorch's launcher asks for, and whom to ask for others.
    names = {path: path for path in (Path("/etc/hosts"), Path("/etc/resolv.conf"))}
    for path, within in (read_only | names).items():
        place = root / within.relative_to("/")
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        steps.append(f"mount --bind -o ro {path} {place}")
    steps.append(f'exec chroot {root} "$@"')
    return [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", "\n".join(steps), "sh"),
        *words,
    ]


def pip_variables() -> dict[str, str]:
    """Return this machine's configuration of pip as the variables that say the same."""
    told = subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True)
    # Files come before variables, so that what is told later counts.
    options = re.findall(r"^[^\s=]*?\.([\w-]+)=(.+)$", told, re.MULTILINE)
    return {f"PIP_{name.upper().replace('-', '_')}": str(ast.literal_eval(value)) for name, value in options}


def named_files(values: Iterable[str]) -> list[Path]:
    """Return the files and folders of this machine that options name."""
    paths = set()
    for word in " ".join(values).split():
        if word.startswith("file://"):
            paths.add(Path(word.removeprefix("file://")).parent)  # an index refers to files beside it
        elif word.startswith("/"):
            paths.add(Path(word))
    return sorted(path for path in paths if path.exists())


def in_the_root(value: str) -> str:
    """Return an option with its files where they are in the root."""
    return re.sub(r"(^|\s)(file://)?/", rf"\1\2{HOST}/", value)


def say(line: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.umask(0o022)
    main()
