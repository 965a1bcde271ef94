"""A bad configuration ends a process of the images in one sentence that names the setting and the cure.

Each is tried in the image that would meet it, by the user of that image. Leaves out what only Compose knows: the
secrets without which the stack does not start are a test of the compose file.
"""

from dataclasses import dataclass, field

from buildah import Container

WITHIN_S = 120
_NOBODY = "127.0.0.1:1"  # where nobody listens
GATEWAY = ("dras", "serve", "--no-worker")
WORKER = ("python", "-m", "dras_service.worker")
NODE = ("dras", "pacs", "listen")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A process that must not start, the code it ends with, and what its sentence names."""

    what: str
    command: tuple[str, ...]
    named: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


_AWAY = {"DRAS_STORE__URL": f"postgresql+psycopg://dras@{_NOBODY}/dras"}
_BUCKET = {"DRAS_BLOBS__URL": "s3://dras", "DRAS_BLOBS__ENDPOINT": f"http://{_NOBODY}"}
OF_GATEWAY = (
    Refusal("no database", GATEWAY, ("STORE_UNAVAILABLE", "DRAS_STORE__URL"), _AWAY),
    Refusal("no secret", GATEWAY, ("BLOBS_UNAVAILABLE", "AWS_SECRET_ACCESS_KEY"), _BUCKET),
    Refusal(
        "no salt",
        GATEWAY,
        ("SALT_UNREADABLE", "DRAS_AUTHENTICATION__SALT_FILE"),
        {"DRAS_AUTHENTICATION__SALT_FILE": "/secrets/salt"},
    ),
    Refusal(
        "no such broker",
        GATEWAY,
        ("SETTINGS_INVALID", "DRAS_QUEUE__URL"),
        {"DRAS_QUEUE__URL": "amqp://broker"},
    ),
    Refusal("no file of the PACS", NODE, ("USAGE", "DRAS_PACS")),
    Refusal(
        "another file of the PACS", NODE, ("PACS_CONFIG_INVALID", "DRAS_PACS"), {"DRAS_PACS": "/none.toml"}
    ),
)
OF_WORKER = (
    Refusal("no database", WORKER, ("STORE_UNAVAILABLE", "DRAS_STORE__URL"), _AWAY),
    Refusal("no GPU", WORKER, ("MISSING_EXTRA", "DRAS_WORKER__DEVICE"), {"DRAS_WORKER__DEVICE": "cuda"}),
    Refusal(
        "a bundle of another hash",
        WORKER,
        ("BUNDLE_INVALID", "DRAS_WORKER__BUNDLE"),
        {"DRAS_WORKER__BUNDLE": "/exchange/changed"},
    ),
)
_CHANGE = """
import pathlib, shutil
(bundle,) = pathlib.Path("/opt/dras/library/bundles").iterdir()
shutil.copytree(bundle, "/exchange/changed")
graph = pathlib.Path("/exchange/changed/encoder.onnx")
content = bytearray(graph.read_bytes())
content[len(content) // 2] ^= 1
graph.write_bytes(content)
"""


def check_refusals(gateway: Container, worker: Container) -> int:
    """Try them all; return how many there are. Raises SystemExit where one starts, or says something else."""
    worker.require("python", "-c", _CHANGE)
    tried = [*((gateway, refusal) for refusal in OF_GATEWAY), *((worker, refusal) for refusal in OF_WORKER)]
    for container, refusal in tried:
        given = [f"{name}={value}" for name, value in refusal.environment.items()]
        # Its words are on standard error.
        words = ("sh", "-c", 'exec env "$@" 2>&1', "sh", *given, "timeout", str(WITHIN_S), *refusal.command)
        done = container.call(*words)
        sentence = done.stdout.strip().rpartition("\n")[2]
        missing = [name for name in refusal.named if name not in sentence]
        if done.returncode == 0 or missing or "Traceback" in done.stdout:
            told = f"status {done.returncode}, without {missing}: {done.stdout[-600:]}"
            raise SystemExit(f"{container.image}, {refusal.what}: {told}")
    return len(tried)
