"""Several bundles in one worker, and the proof of each before it takes work; on the small bundles of one expert."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.weights import initialise
from dras_model.imaging.atlas import Atlas
from dras_model.library import open_atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.errors import CannotServe
from dras_service.settings import WorkerSettings
from dras_service.worker.encoders import Encoders
from dras_service.worker.selftest import check, prove

GRAPHS = ["encoder.cpu.onnx", "encoder.cuda.onnx", "encoder.onnx"]
FILES = ["SHA256SUMS", *GRAPHS, "golden.npz", "manifest.json", "weights.safetensors"]


def make_bundle(path: Path, atlas: Atlas, *, seed: int) -> None:
    """Without calibration, which takes most of the time of an untrained bundle."""
    weights = initialise(EncoderConfig(num_experts=1), seed=seed)
    create_bundle(path, weights, atlas, name=path.name, training=Untrained(seed=seed), licence="MIT")


@pytest.fixture(scope="module")
def bundles(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for seed, name in enumerate(("one", "two")):
        make_bundle(folder / name, atlas, seed=seed)
    return folder


@pytest.fixture
def cheap_default(library: Path, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library whose default bundle is made of one expert."""
    shutil.copytree(library / "atlases", tmp_path / "library" / "atlases")
    monkeypatch.setenv("DRAS_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setattr(
        "dras_model.library.create_starter", lambda path, _starter, atlas: make_bundle(path, atlas, seed=0)
    )


@pytest.fixture
def settings(bundles: Path) -> WorkerSettings:
    return WorkerSettings(bundle=str(bundles / "one"), offered=(str(bundles / "two"),), threads=1)


def test_every_bundle_of_the_settings_is_proven_the_default_one_first(settings: WorkerSettings) -> None:
    proven = prove(settings)
    assert [(view.name, view.is_default) for view in proven] == [("one", True), ("two", False)]
    assert proven[0].sha256 != proven[1].sha256
    assert (proven[0].training, proven[0].signature) == ("untrained", "unsigned")
    assert proven[0].embedding_size == 128


@pytest.mark.parametrize(
    ("bundle", "file"),
    [*(("one", file) for file in FILES), ("two", "encoder.cuda.onnx"), ("two", "manifest.json")],
)
def test_one_flipped_byte_in_any_file_of_any_bundle_stops_the_worker(
    bundles: Path, tmp_path: Path, bundle: str, file: str
) -> None:
    for name in ("one", "two"):
        shutil.copytree(bundles / name, tmp_path / name)
    assert sorted(path.name for path in (tmp_path / bundle).iterdir()) == FILES
    content = bytearray((tmp_path / bundle / file).read_bytes())
    content[len(content) // 3] ^= 1
    (tmp_path / bundle / file).write_bytes(content)
    with pytest.raises(SetupRefused) as refusal:
        prove(WorkerSettings(bundle=str(tmp_path / "one"), offered=(str(tmp_path / "two"),), threads=1))
    assert refusal.value.code is Code.BUNDLE_INVALID
    assert file in str(refusal.value)


def test_the_self_test_of_a_worker_names_the_file_at_fault(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundles / "one", tmp_path / "one")
    monkeypatch.setenv("DRAS_WORKER__BUNDLE", str(tmp_path / "one"))
    assert [view.name for view in check()] == ["one"]
    graph = tmp_path / "one" / "encoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(CannotServe, match=r"encoder\.onnx has another SHA-256") as refusal:
        check()
    assert refusal.value.code == "BUNDLE_INVALID"
    assert str(refusal.value).endswith(", or choose another by DRAS_WORKER__BUNDLE.")


def test_a_gpu_that_is_not_there_stops_the_worker_and_the_setting_is_named(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAS_WORKER__BUNDLE", str(bundles / "one"))
    monkeypatch.setenv("DRAS_WORKER__DEVICE", "cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(CannotServe) as refusal:
        check()
    assert refusal.value.code == "MISSING_EXTRA"
    assert str(refusal.value).endswith(", or set DRAS_WORKER__DEVICE to cpu.")


def test_a_worker_of_a_spoilt_bundle_ends_before_it_takes_work(bundles: Path, tmp_path: Path) -> None:
    shutil.copytree(bundles / "one", tmp_path / "one")
    manifest = tmp_path / "one" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"name": "one"', b'"name": "own"'))
    done = subprocess.run(
        [sys.executable, "-m", "dras_service.worker", "--attached"],
        env=os.environ | {"DRAS_WORKER__BUNDLE": str(tmp_path / "one"), "DRAS_DATA": str(tmp_path / "data")},
        input="",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1)  # it ends by itself, or with the owner that is gone
    assert "ready" not in done.stdout


def test_the_default_bundle_is_found_by_its_own_name_as_well(settings: WorkerSettings) -> None:
    encoders = Encoders(settings)
    assert encoders.open("one").encoder is encoders.open().encoder
    assert encoders.open("two").encoder is not encoders.open().encoder


@pytest.mark.usefixtures("cheap_default")
def test_the_default_bundle_of_an_atlas_is_found_by_the_name_of_its_folder() -> None:
    encoders = Encoders(WorkerSettings(threads=1))
    default = encoders.open().encoder
    assert encoders.open(default.bundle.path.name).encoder is default


def test_a_bundle_that_is_not_offered_is_never_opened(settings: WorkerSettings, bundles: Path) -> None:
    for name in ("three", str(bundles / "two"), "../bundles/two"):
        with pytest.raises(SetupRefused) as refusal:
            Encoders(settings).open(name)
        assert refusal.value.code is Code.BUNDLE_NOT_FOUND


@pytest.mark.usefixtures("cheap_default")
def test_a_default_whose_name_is_offered_for_another_bundle_is_refused(atlas: Atlas, tmp_path: Path) -> None:
    name = Encoders(WorkerSettings(threads=1)).open().encoder.bundle.path.name
    make_bundle(tmp_path / name, atlas, seed=3)
    with pytest.raises(SetupRefused, match="has the same name as one that is offered beside it"):
        prove(WorkerSettings(offered=(str(tmp_path / name),), threads=1))


def test_a_bundle_of_another_atlas_needs_that_atlas_in_the_library(bundles: Path, tmp_path: Path) -> None:
    other = open_atlas()
    moved = Atlas.of(other.lungs, other.corners[:-1], name="other", version="1")
    make_bundle(tmp_path / "stray", moved, seed=1)
    with pytest.raises(SetupRefused, match="import that atlas") as refusal:
        prove(WorkerSettings(bundle=str(bundles / "one"), offered=(str(tmp_path / "stray"),), threads=1))
    assert refusal.value.code is Code.BUNDLE_ATLAS_MISSING


class Counted(Encoders):
    """Encoders that cost what a test says, and remember which were opened."""

    def __init__(self, room_mb: int, charge_mb: float) -> None:
        super().__init__(WorkerSettings(bundle="a", offered=("b", "c", "d"), encoders_mb=room_mb))
        self.history: list[str | None] = []
        self.charge_mb = charge_mb

    def _load(self, choice: str | None) -> tuple[None, None]:
        self.history.append(choice)
        return None, None

    def _charge_mb(self, bundle: None) -> float:
        return self.charge_mb

    def _start(self, bundle: None) -> None:
        assert sum(opened.charge_mb for opened in self._opened.values()) <= 200.0  # room was made before


def test_encoders_stay_open_while_there_is_room_and_the_least_used_leaves_first() -> None:
    encoders = Counted(room_mb=300, charge_mb=100.0)
    for name in (None, "b", "c", "a", "b", "d", "a", "b", "c"):
        encoders.open(name)
    assert encoders.history == ["a", "b", "c", "d", "c"]


def test_one_encoder_is_kept_however_little_room_there_is() -> None:
    encoders = Counted(room_mb=1, charge_mb=100.0)
    for name in ("a", "a", "b", "b", "a"):
        encoders.open(name)
    assert encoders.history == ["a", "b", "a"]
