import json
import shutil

import nibabel
import numpy as np
import pytest

from dras_cli.main import main
from dras_model.encoder import graph
from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.bundle import MANIFEST, SUMS, digests, sums
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.weights import initialise
from dras_model.imaging.atlas import Atlas
from dras_model.library import open_atlas

TINY = EncoderConfig(num_experts=1)


def without_calibration(path, atlas, *, seed):
    """Make an untrained bundle in a tenth of the time."""
    weights = initialise(TINY, seed=seed)
    return create_bundle(path, weights, atlas, name=path.name, training=Untrained(seed=seed), licence="MIT")


@pytest.fixture(scope="module")
def made(library_folder, tmp_path_factory):
    """A bundle of one expert for the built-in atlas, which is in the library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRAS_LIBRARY", str(library_folder))
        atlas = open_atlas()
    path = tmp_path_factory.mktemp("made") / "tiny"
    weights = initialise(TINY, seed=3)
    create_bundle(path, weights, atlas, name="tiny", training=Untrained(seed=3), licence="MIT")
    return path


@pytest.fixture
def tiny(made, library, tmp_path):
    """A copy to spoil, or to sign."""
    return shutil.copytree(made, tmp_path / "tiny")


@pytest.fixture
def patches(tmp_path):
    """Four patches in HU and the corners they were cut at."""
    generator = np.random.default_rng(5)
    np.save(tmp_path / "hu.npy", generator.integers(-1024, 300, (4, 32, 32, 32), dtype=np.int16))
    np.save(tmp_path / "index.npy", np.array([0, 7, 300, 580]))
    return tmp_path


def answer(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *arguments, status=4):
    assert main([*map(str, arguments), "--json"]) == status
    said = capsys.readouterr()
    assert said.out == ""
    error = json.loads(said.err)["error"]
    assert "\n" not in error["message"]
    assert error["message"].endswith(".")
    return error["code"], error["message"]


def test_the_builtin_atlas_is_there_without_anything_being_imported(library, capsys):
    assert "builtin" in answer(capsys, "atlas", "list")["atlases"]
    shown = answer(capsys, "atlas", "show")
    assert shown["patch_size"] == 32
    assert shown["n_corners"] > 100


def atlas_files(folder):
    mask = np.zeros((90, 60, 60), dtype=np.uint8)
    mask[5:40, 5:55, 5:55], mask[50:85, 5:55, 5:55] = 50, 100
    nibabel.save(nibabel.Nifti1Image(mask, np.diag([-1.0, 1.0, 1.0, 1.0])), folder / "mask.nii.gz")
    np.save(folder / "corners.npy", np.array([[5, 5, 5], [50, 5, 5]]))
    return ["--lung-mask", folder / "mask.nii.gz", "--corners", folder / "corners.npy"]


def test_an_imported_atlas_is_listed_and_shown_by_its_name(library, capsys, tmp_path):
    imported = answer(capsys, "atlas", "import", *atlas_files(tmp_path), "--name", "mine")
    assert imported["n_corners"] == 2
    assert answer(capsys, "atlas", "show", "mine") == imported
    assert "mine" in answer(capsys, "atlas", "list")["atlases"]


ATLAS_FAULTS = {
    "mask missing": (lambda f: (f / "mask.nii.gz").unlink(), "mask.nii.gz"),
    "corners missing": (lambda f: (f / "corners.npy").unlink(), "corners.npy"),
    "corners cut short": (lambda f: cut(f / "corners.npy"), "corners.npy is no plain NumPy array"),
    "mask cut short": (lambda f: cut(f / "mask.nii.gz"), "mask.nii.gz"),
    "corners of two numbers": (lambda f: np.save(f / "corners.npy", [[1, 2]]), "(n, 3), found (1, 2)"),
    "corners between voxels": (lambda f: np.save(f / "corners.npy", [[1.5, 2, 3]]), "integer voxels, found"),
    "corners beyond the mask": (
        lambda f: np.save(f / "corners.npy", [[1, 2, 3], [90, 0, 0]]),
        "1 of 2 corners lie outside the mask of (90, 60, 60)",
    ),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("fault", ATLAS_FAULTS)
def test_an_atlas_that_does_not_fit_is_refused_in_one_sentence(library, capsys, tmp_path, fault):
    arguments, (spoil, clause) = atlas_files(tmp_path), ATLAS_FAULTS[fault]
    spoil(tmp_path)
    code, message = refusal(capsys, "atlas", "import", *arguments, "--name", "faulty")
    assert code in ("ATLAS_INVALID", "ATLAS_NOT_FOUND")
    assert clause in message
    assert "faulty" not in answer(capsys, "atlas", "list")["atlases"]


def test_a_bundle_is_made_listed_shown_and_verified(library, capsys, monkeypatch):
    monkeypatch.setattr("dras_cli.commands.model.create_untrained", without_calibration)
    made = answer(capsys, "model", "init", "--seed", "7")
    assert made["manifest"]["training"] == {"kind": "untrained", "seed": 7}
    assert made["atlas_in_library"] == made["manifest"]["atlas"]["name"]
    assert answer(capsys, "model", "show", "untrained-7") == made
    (listed,) = (b for b in answer(capsys, "model", "list")["bundles"] if b["bundle"] == "untrained-7")
    assert listed["sha256"] == made["sha256"]
    assert (listed["training"], listed["signature"]) == ("untrained", "unsigned")
    assert listed["tolerance"] == made["manifest"]["tolerance"]["max_difference"]
    assert "Not for diagnosis" in listed["intended_use"]
    assert set(listed["graphs"]) == {"cpu", "cuda"}


def test_the_parity_report_names_what_was_run_and_what_was_not(tiny, capsys, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    report = answer(capsys, "model", "verify", tiny, "--threads", "1")
    assert {row["provider"] for row in report["compared"]} == {"cpu"}
    assert {row["verdict"] for row in report["compared"]} == {"agrees"}
    assert {absent["provider"] for absent in report["not_run"]} == {"cuda"}
    assert main(["model", "verify", str(tiny), "--device", "cpu", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    for word in (
        "max|Δ|",
        "PyTorch",
        "NumPy, float64",
        "encoder.onnx",
        "agrees",
        "TF32 is off",
        "not measured",
    ):
        assert word in shown


def test_a_bundle_whose_graph_is_another_is_reported_and_fails(made, library, capsys, tmp_path):
    path = shutil.copytree(made, tmp_path / "moved")
    model = graph.build(initialise(TINY, seed=4))
    (path / "encoder.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"] |= digests({"encoder.onnx": (path / "encoder.onnx").read_bytes()})
    (path / MANIFEST).write_text(json.dumps(manifest))
    (path / SUMS).unlink()
    (path / SUMS).write_bytes(sums(digests({file.name: file.read_bytes() for file in path.iterdir()})))
    assert main(["model", "verify", str(path), "--device", "cpu", "--json"]) == 4
    said = capsys.readouterr()
    rows = json.loads(said.out)["compared"]
    assert {row["verdict"] for row in rows if row["graph"] == "encoder.onnx"} == {"differs"}
    error = json.loads(said.err)["error"]
    assert error["code"] == "BUNDLE_INVALID"
    assert "encoder.onnx on cpu differs from the golden vectors" in error["message"]


def test_a_bundle_that_was_changed_is_not_verified_nor_listed_as_sound(tiny, library, capsys):
    cut(tiny / "golden.npz")
    code, message = refusal(capsys, "model", "verify", tiny)
    assert code == "BUNDLE_INVALID"
    assert "golden.npz has another SHA-256" in message
    shutil.copytree(tiny, library / "bundles" / "spoilt")
    (listed,) = (b for b in answer(capsys, "model", "list")["bundles"] if b["bundle"] == "spoilt")
    assert listed["code"] == "BUNDLE_INVALID"
    assert main(["model", "list"]) == 0
    assert "spoilt" in capsys.readouterr().out
    shutil.rmtree(library / "bundles" / "spoilt")


@pytest.mark.parametrize(
    "convert",
    [
        lambda hu: hu,
        lambda hu: hu.astype(np.float32),
        lambda hu: hu.astype(">i2"),
        np.asfortranarray,
    ],
    ids=["int16", "float32 of whole HU", "big-endian", "Fortran order"],
)
def test_patches_cut_elsewhere_are_embedded_whatever_holds_their_hu(tiny, patches, capsys, convert):
    hu = np.load(patches / "hu.npy")
    np.save(patches / "given.npy", convert(hu))
    arguments = ["--index", patches / "index.npy", "--threads", "1", "-o"]
    told = answer(
        capsys, "model", "encode", tiny, "--patches", patches / "given.npy", *arguments, patches / "out.npy"
    )
    assert told["shape"] == [4, 128]
    assert told["weights"]["name"] == "tiny"
    answer(capsys, "model", "encode", tiny, "--patches", patches / "hu.npy", *arguments, patches / "own.npy")
    found = np.load(patches / "out.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.load(patches / "own.npy"))
    assert len(np.unique(found[:, 0])) == 4


def save(name, change):
    def spoil(folder):
        np.save(folder / name, change(np.load(folder / name)))

    return spoil


def with_nan(hu):
    changed = hu.astype(np.float32)
    changed[1, 2, 3, 4] = np.nan
    return changed


def as_archive(folder):
    np.savez(folder / "hu.npz", patches=np.load(folder / "hu.npy"))
    (folder / "hu.npz").rename(folder / "hu.npy")


PATCH_FAULTS = {
    "patches missing": (lambda f: (f / "hu.npy").unlink(), "hu.npy cannot be read (No such file"),
    "patches cut short": (lambda f: cut(f / "hu.npy"), "hu.npy is no complete NumPy file"),
    "patches empty": (lambda f: (f / "hu.npy").write_bytes(b""), "hu.npy is no complete NumPy file"),
    "patches with half a header": (
        lambda f: (f / "hu.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00" + b"{'shape': (1, 2  "),
        "hu.npy is no complete NumPy file",
    ),
    "patches of a header that is none": (
        lambda f: (f / "hu.npy").write_bytes(b"\x93NUMPY\x01\x00\x0a\x00" + b"{1:2,'':3}"),
        "hu.npy is no complete NumPy file",
    ),
    "patches pickled": (save("hu.npy", lambda a: np.array([None])), "hu.npy is no complete NumPy file"),
    "patches in an archive": (as_archive, "no complete NumPy file"),
    "cubes of another size": (save("hu.npy", lambda a: a[:, :31]), "(4, 31, 32, 32), (n, 32, 32, 32) is"),
    "one patch alone": (save("hu.npy", lambda a: a[0]), "(32, 32, 32), (n, 32, 32, 32) is expected"),
    "HU that are no numbers": (save("hu.npy", with_nan), "1 are no whole HU of int16; int16 is expected"),
    "HU between whole ones": (save("hu.npy", lambda a: a + np.float32(0.5)), "131072 are no whole HU"),
    "HU beyond int16": (save("hu.npy", lambda a: a.astype(np.int32) + 40_000), "are no whole HU of int16"),
    "texts": (save("hu.npy", lambda a: a.astype("U6")), "HU as int16 are expected"),
    "index missing": (lambda f: (f / "index.npy").unlink(), "index.npy cannot be read"),
    "index of another length": (save("index.npy", lambda a: a[:3]), "holds (3,), (4,) is expected"),
    "index of floats": (save("index.npy", lambda a: a * 1.0), "holds float64, whole numbers are expected"),
    "corner beyond the atlas": (save("index.npy", lambda a: a + 1), "names corner 581; the atlas"),
    "corner below zero": (save("index.npy", lambda a: a - 1), "names corner -1; the atlas"),
}


@pytest.mark.parametrize("fault", PATCH_FAULTS)
def test_patches_that_do_not_fit_are_a_wrong_call_in_one_sentence(tiny, patches, capsys, fault):
    spoil, clause = PATCH_FAULTS[fault]
    spoil(patches)
    arguments = ["--patches", patches / "hu.npy", "--index", patches / "index.npy", "-o", patches / "o.npy"]
    code, message = refusal(capsys, "model", "encode", tiny, *arguments, status=2)
    assert code == "USAGE"
    assert clause in message
    assert not (patches / "o.npy").exists()


@pytest.mark.parametrize(
    "file", ["encoder.onnx", "golden.npz", "manifest.json", "weights.safetensors", "SHA256SUMS"]
)
@pytest.mark.parametrize("spoil", [cut, lambda path: path.unlink()], ids=["cut short", "missing"])
def test_a_bundle_with_a_faulty_file_is_refused_by_every_command_that_takes_one(
    tiny, patches, capsys, file, spoil
):
    spoil(tiny / file)
    given = ["--patches", patches / "hu.npy", "--index", patches / "index.npy", "-o", patches / "o.npy"]
    for command in (["encode", tiny, *given], ["verify", tiny], ["show", tiny]):
        code, message = refusal(capsys, "model", *command)
        assert code == ("BUNDLE_NOT_FOUND" if not (tiny / "manifest.json").exists() else "BUNDLE_INVALID")
        assert file in message or code == "BUNDLE_NOT_FOUND"


def test_a_bundle_finds_its_atlas_by_content_and_says_where_it_looked(
    made, library_folder, patches, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRAS_LIBRARY", str(library_folder))
    atlas = open_atlas()
    other = Atlas.of(atlas.lungs, atlas.corners[:-1], name="other", version="1")
    weights = initialise(TINY, seed=3)
    create_bundle(tmp_path / "stray", weights, other, name="stray", training=Untrained(seed=3), licence="MIT")
    given = ["--patches", patches / "hu.npy", "--index", patches / "index.npy", "-o", patches / "o.npy"]
    code, message = refusal(capsys, "model", "encode", tmp_path / "stray", *given)
    assert code == "BUNDLE_ATLAS_MISSING"
    assert "belongs to atlas other" in message
    assert str(library_folder / "atlases") in message
    code, message = refusal(capsys, "model", "encode", made, *given, "--atlas", "nothing")
    assert code == "ATLAS_NOT_FOUND"
    code, message = refusal(capsys, "model", "verify", tmp_path / "stray", "--atlas", "builtin")
    assert code == "BUNDLE_ATLAS_MISMATCH"
    assert answer(capsys, "model", "show", tmp_path / "stray")["atlas_in_library"] is None


def test_a_checkpoint_that_is_none_is_a_fault_of_the_setup(library, tmp_path, capsys):
    (tmp_path / "checkpoint.pth.tar").write_bytes(b"no checkpoint")
    (tmp_path / "configs.json").write_text("{}")
    arguments = [tmp_path / "checkpoint.pth.tar", "--config", tmp_path / "configs.json"]
    assert refusal(capsys, "model", "import-official", *arguments)[0] == "CHECKPOINT_INVALID"


@pytest.mark.parametrize("command", [["atlas", "show"], ["model", "show"], ["model", "verify"]])
def test_what_is_not_in_the_library_is_said(library, capsys, command):
    code, message = refusal(capsys, *command, "nothing")
    assert code.endswith("_NOT_FOUND")
    assert "nothing" in message
