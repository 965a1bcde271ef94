import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dras_model.encoder import creation, reference
from dras_model.encoder.bundle import ENCODER, GOLDEN, MANIFEST, SUMS, WEIGHTS, Bundle, digests, write_bundle
from dras_model.encoder.creation import create_bundle, create_untrained
from dras_model.encoder.manifest import Imported, Tolerance, Trained, Untrained
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from unit.dras_model.encoder.sealing import reseal

Spoil = Callable[..., Path]

GRAPHS = {ENCODER, "encoder.cpu.onnx", "encoder.cuda.onnx"}
FILES = {MANIFEST, SUMS, *GRAPHS, GOLDEN, WEIGHTS}


def test_a_bundle_tells_everything_that_its_weights_depend_on(bundle: Bundle, atlas: Atlas) -> None:
    manifest = bundle.manifest
    assert manifest.preprocessing.orientation == atlas.orientation == "LAS"
    assert (manifest.preprocessing.spacing_mm, manifest.preprocessing.padding_voxels) == (1.0, 60)
    assert manifest.preprocessing.window_hu == (-1024, 240)
    assert (manifest.atlas.sha256, manifest.atlas.n_patches) == (atlas.sha256, 12)
    assert manifest.training == Untrained(seed=11)
    assert set(manifest.files) == {*GRAPHS, GOLDEN, WEIGHTS}
    assert bundle.provenance.atlas == "dozen"


def test_golden_embeddings_are_the_references_and_tell_patches_apart(
    bundle: Bundle, weights: EncoderWeights
) -> None:
    golden = bundle.golden
    expected = reference.embed(weights, golden.patches[:2], golden.locations[:2])
    np.testing.assert_array_equal(golden.embeddings[:2], expected.astype(np.float32))
    assert golden.embeddings.std(axis=0).mean() > 0.3


def test_the_same_weights_make_the_same_bytes(
    bundle_path: Path, weights: EncoderWeights, atlas: Atlas, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    create_bundle(
        again,
        weights,
        atlas,
        name="small",
        training=Untrained(seed=11),
        licence="MIT",
        batch=4,
        cuda_batch=4,
    )
    for name in FILES:
        assert (again / name).read_bytes() == (bundle_path / name).read_bytes()


def test_untrained_weights_say_so(
    atlas: Atlas, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "N_CALIBRATION_PATCHES", 2)  # calibration has its own tests
    made = create_untrained(tmp_path / "made", atlas, seed=7, config=bundle.manifest.encoder)
    assert made.manifest.training == Untrained(seed=7)
    assert made.provenance.training == "untrained"
    assert "Not for diagnosis" in made.manifest.intended_use


def test_a_provenance_is_told_in_a_few_words() -> None:
    assert (
        Imported(checkpoint_sha256="b" * 64, epoch=20).summary
        == "imported from a DrasCLR checkpoint, epoch 20"
    )
    assert Imported(checkpoint_sha256="b" * 64).summary.endswith("epoch unknown")
    assert Trained(data="phantoms", epochs=2.5, seed=1).summary == "trained on phantoms, 2.5 epochs"


def test_weights_serve_only_the_atlas_they_belong_to(bundle: Bundle, atlas: Atlas) -> None:
    bundle.require_atlas(atlas)
    other = Atlas("other", "1", atlas.lungs, atlas.corners, patch_size=32, patch_step=26, sha256="b" * 64)
    with pytest.raises(SetupRefused, match=r"belongs to atlas dozen \(a+\), not to other") as refusal:
        bundle.require_atlas(other)
    assert refusal.value.code is Code.BUNDLE_ATLAS_MISMATCH


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    entries = json.loads((path / MANIFEST).read_text())
    change(entries)
    (path / MANIFEST).write_text(json.dumps(entries))
    reseal(path)


def _flip(path: Path, name: str) -> None:
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)


def _edit_sums(path: Path, name: str) -> None:
    lines = (path / SUMS).read_text().splitlines()
    changed = ["0" * 64 + line[64:] if line.endswith(f"  {name}") else line for line in lines]
    (path / SUMS).write_text("\n".join(changed) + "\n")


def _move_out(file: Path) -> None:
    elsewhere = file.parent.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def _replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped byte in the graph": (lambda p: _flip(p, ENCODER), "encoder.onnx has another SHA-256"),
    "flipped byte in the golden vectors": (lambda p: _flip(p, GOLDEN), "golden.npz has another SHA-256"),
    "graph missing": (lambda p: (p / ENCODER).unlink(), "encoder.onnx is missing"),
    "flipped byte in the weights": (lambda p: _flip(p, WEIGHTS), "weights.safetensors has another SHA-256"),
    "flipped byte in the manifest": (lambda p: _flip(p, MANIFEST), "manifest.json has another SHA-256 than"),
    "sums of another manifest": (lambda p: _edit_sums(p, MANIFEST), "manifest.json has another SHA-256 than"),
    "sums of other files": (lambda p: _edit_sums(p, GOLDEN), "SHA256SUMS does not give the SHA-256 of"),
    "sums with more": (
        lambda p: (p / SUMS).write_bytes((p / SUMS).read_bytes() + b"\n"),
        "SHA256SUMS does not give the SHA-256 of",
    ),
    "sums missing": (lambda p: (p / SUMS).unlink(), "SHA256SUMS is missing"),
    "file that is not listed": (lambda p: (p / "notes.txt").touch(), "notes.txt is not listed in manifest"),
    "a hidden one, sums made to fit": (
        lambda p: [(p / ".hidden").touch(), reseal(p)],
        ".hidden is not listed in manifest.json",
    ),
    "folder instead of a file": (lambda p: _replace_by_folder(p / GOLDEN), "golden.npz is no plain file"),
    "a folder more": (lambda p: (p / "more").mkdir(), "more is no plain file"),
    "link out of the folder": (lambda p: _move_out(p / GOLDEN), "golden.npz is no plain file"),
    "link within the folder": (lambda p: (p / "copy").symlink_to(GOLDEN), "copy is no plain file"),
    "manifest a link": (lambda p: _move_out(p / MANIFEST), "manifest.json is no plain file"),
    "manifest that lists itself": (
        lambda p: _edit(p, lambda m: m["files"].update({MANIFEST: "0" * 64})),
        "manifest.json lists manifest.json, which guards it",
    ),
    "graph of one provider not listed": (
        lambda p: _edit(p, lambda m: m["provider_graphs"].update(cuda=m["graph"] | {"file": "cuda.onnx"})),
        "lists no cuda.onnx",
    ),
    "unknown provider": (
        lambda p: _edit(p, lambda m: m["provider_graphs"].update(abacus=m["graph"])),
        "manifest.json, provider_graphs",
    ),
    "tolerance that lets everything pass": (
        lambda p: _edit(p, lambda m: m["tolerance"].update(max_difference="inf")),
        "manifest.json, tolerance.max_difference",
    ),
    "listed file missing": (
        lambda p: _edit(p, lambda m: m["files"].update({"heads.npz": "0" * 64})),
        "heads.npz is missing",
    ),
    "graph not listed": (lambda p: _edit(p, lambda m: m["files"].pop(ENCODER)), "lists no encoder.onnx"),
    "file outside the folder": (
        lambda p: _edit(p, lambda m: m["files"].update({"../secret": "0" * 64})),
        "manifest.json, files",
    ),
    "manifest no JSON": (
        lambda p: [(p / MANIFEST).write_text("{"), reseal(p)],
        "manifest.json, as a whole: Invalid JSON",
    ),
    "manifest of another schema": (
        lambda p: _edit(p, lambda m: m.update(schema_version="9.0")),
        "manifest.json, schema_version: Input should be '1.1'",
    ),
    "field missing": (lambda p: _edit(p, lambda m: m.pop("atlas")), "manifest.json, atlas: Field required"),
    "field unknown": (lambda p: _edit(p, lambda m: m.update(extra=1)), "manifest.json, extra"),
    "other preprocessing": (
        lambda p: _edit(p, lambda m: m["preprocessing"].update(spacing_mm=2.0)),
        "asks for spacing_mm 2.0, here it is 1.0",
    ),
    "orientation no orientation": (
        lambda p: _edit(p, lambda m: m["preprocessing"].update(orientation="up")),
        "manifest.json, preprocessing.orientation",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_bundle_is_refused_in_one_sentence(fault: str, spoil: Spoil) -> None:
    spoilt, clause = spoil(), FAULTS[fault][1]
    FAULTS[fault][0](spoilt)
    with pytest.raises(SetupRefused) as refusal:
        Bundle.load(spoilt)
    assert refusal.value.code is Code.BUNDLE_INVALID
    assert clause in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "clause"),
    [
        (ENCODER, b"not a model", "no ONNX model"),
        (GOLDEN, b"not an archive", "does not hold patches"),
        (GOLDEN, b"PK\x05\x06" + bytes(18), "does not hold patches"),
    ],
)
def test_content_that_fits_its_hash_is_still_checked(
    name: str, content: bytes, clause: str, spoil: Spoil
) -> None:
    with pytest.raises(SetupRefused, match=clause):
        Bundle.load(spoil({name: content}))


def _to_external(bundle: Bundle) -> bytes:
    """Return the graph with the numbers of its first layer left in another file."""
    model = onnx.ModelProto.FromString(bundle.read(ENCODER))
    tensor = model.graph.initializer[-1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    return model.SerializeToString()


@pytest.mark.parametrize("name", [ENCODER, "cuda.onnx"])
def test_a_graph_that_keeps_numbers_outside_the_bundle_is_refused(
    bundle: Bundle, spoil: Spoil, name: str
) -> None:
    with pytest.raises(SetupRefused, match=f"{name} is no ONNX model or keeps tensors in another file"):
        Bundle.load(spoil({name: _to_external(bundle)}))


def test_a_graph_for_one_provider_is_hashed_and_told_like_any_other(bundle: Bundle, spoil: Spoil) -> None:
    form = bundle.manifest.graph.model_copy(update={"file": "cuda.onnx", "batch": 581})
    files = {"cuda.onnx": bundle.read(ENCODER)}
    path = spoil(files, provider_graphs={"cuda": form.model_dump()})
    manifest = Bundle.load(path).manifest
    assert manifest.graph_on("cuda") == form
    told = Bundle.load(path).provenance_of("cuda.onnx").encoder_sha256
    assert told == manifest.files["cuda.onnx"] == hashlib.sha256(files["cuda.onnx"]).hexdigest()
    assert manifest.graph_on("cpu") == manifest.graph == bundle.manifest.graph
    _flip(path, "cuda.onnx")
    with pytest.raises(SetupRefused, match=r"cuda\.onnx has another SHA-256"):
        Bundle.load(path)


def test_the_tolerance_of_each_provider_is_published_and_what_was_not_measured_says_so(
    bundle_path: Path,
) -> None:
    published = json.loads((bundle_path / MANIFEST).read_text())["tolerance"]
    for device in ("cpu", "cuda"):
        stated = published["providers"][device]
        assert stated["max_difference"] == published["max_difference"] == pytest.approx(1e-4)
        assert stated["tf32"] is False
    assert published["providers"]["cuda"]["measured"] is None


def test_a_wider_tolerance_on_cuda_leaves_that_of_the_cpu_alone() -> None:
    cuda = {"max_difference": 3e-2, "min_cosine": 0.9999, "tf32": True, "measured": 8e-3}
    tolerance = Tolerance(max_difference=1e-4, providers={"cuda": cuda})
    assert tolerance.on("cuda").model_dump() == cuda
    assert (tolerance.on("cpu").max_difference, tolerance.on("cpu").tf32) == (1e-4, False)


def test_the_weights_of_a_bundle_are_those_it_was_made_of(bundle: Bundle, weights: EncoderWeights) -> None:
    kept = bundle.weights()
    for name, array in weights.parameters.items():
        np.testing.assert_array_equal(kept.parameters[name], array)


@pytest.mark.parametrize("content", [b"", b"no tensors", bytes(64)])
def test_weights_that_are_none_are_refused_when_they_are_asked_for(spoil: Spoil, content: bytes) -> None:
    with pytest.raises(SetupRefused, match=r"weights\.safetensors: it is no safetensors file"):
        Bundle.load(spoil({WEIGHTS: content})).weights()


def test_a_bundle_may_leave_the_weights_out(bundle: Bundle, tmp_path: Path) -> None:
    files = {name: bundle.read(name) for name in bundle.manifest.files if name != WEIGHTS}
    write_bundle(
        tmp_path / "light", bundle.manifest.model_copy(update={"files": digests(files)}), files=files
    )
    assert Bundle.load(tmp_path / "light").weights() is None


def test_coreutils_finds_the_same_hashes(bundle_path: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", SUMS],
        cwd=bundle_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == sorted(f"{name}: OK" for name in FILES - {SUMS})


def test_every_byte_of_the_small_files_is_guarded(spoil: Spoil) -> None:
    path = spoil()
    for name in (MANIFEST, SUMS):
        content = (path / name).read_bytes()
        for place in range(0, len(content), 7):
            changed = bytearray(content)
            changed[place] ^= 1 << place % 8
            (path / name).write_bytes(changed)
            with pytest.raises(SetupRefused):
                Bundle.load(path)
        (path / name).write_bytes(content)
    Bundle.load(path)


def test_golden_vectors_of_another_length_are_refused(bundle: Bundle, spoil: Spoil) -> None:
    golden = bundle.golden
    short = type(golden)(golden.patches, golden.locations, golden.embeddings[:, :64]).to_bytes()
    with pytest.raises(SetupRefused, match=r"embeddings is \(8, 64\) float32, \(8, 128\) float32 is needed"):
        Bundle.load(spoil({GOLDEN: short}))


def test_no_bundle_is_another_fault_than_a_wrong_one(tmp_path: Path) -> None:
    with pytest.raises(SetupRefused) as refusal:
        Bundle.load(tmp_path / "nowhere")
    assert refusal.value.code is Code.BUNDLE_NOT_FOUND


def test_a_write_that_fails_leaves_nothing_behind(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dras_model.encoder.bundle.os.replace", full)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    with pytest.raises(SetupRefused, match="No space left on device") as refusal:
        write_bundle(tmp_path / "new", bundle.manifest, files=files)
    assert refusal.value.code is Code.OUTPUT_NOT_WRITABLE
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_never_replaced(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    with pytest.raises(SetupRefused, match="not empty"):
        write_bundle(tmp_path / "kept", bundle.manifest, files=files)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "notes.txt"]


def test_writing_the_bundle_that_is_already_there_changes_nothing(bundle: Bundle, spoil: Spoil) -> None:
    path = spoil()
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(path, bundle.manifest, files=files)
    assert {file.name for file in path.iterdir()} == FILES
    assert [folder.name for folder in path.parent.iterdir()] == [path.name]
    with pytest.raises(SetupRefused, match="not empty"):
        write_bundle(path, bundle.manifest.model_copy(update={"name": "another"}), files=files)


def test_a_manifest_that_lists_other_files_is_a_value_error(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="other files"):
        write_bundle(tmp_path / "new", bundle.manifest, files={ENCODER: b"x"})
