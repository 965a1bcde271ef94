import json

import nibabel
import numpy as np
import pytest

from dras_cli.main import main


def answer(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_builtin_atlas_is_there_without_anything_being_imported(library, capsys):
    assert "builtin" in answer(capsys, "atlas", "list")["atlases"]
    shown = answer(capsys, "atlas", "show")
    assert shown["patch_size"] == 32
    assert shown["n_corners"] > 100


def test_an_imported_atlas_is_listed_and_shown_by_its_name(library, capsys, tmp_path):
    mask = np.zeros((90, 60, 60), dtype=np.uint8)
    mask[5:40, 5:55, 5:55], mask[50:85, 5:55, 5:55] = 50, 100
    nibabel.save(nibabel.Nifti1Image(mask, np.diag([-1.0, 1.0, 1.0, 1.0])), tmp_path / "mask.nii.gz")
    np.save(tmp_path / "corners.npy", np.array([[5, 5, 5], [50, 5, 5]]))
    arguments = ["--lung-mask", str(tmp_path / "mask.nii.gz"), "--corners", str(tmp_path / "corners.npy")]
    imported = answer(capsys, "atlas", "import", *arguments, "--name", "mine")
    assert imported["n_corners"] == 2
    assert answer(capsys, "atlas", "show", "mine") == imported
    assert "mine" in answer(capsys, "atlas", "list")["atlases"]


def test_a_bundle_is_made_listed_verified_and_shown(library, capsys):
    made = answer(capsys, "model", "init", "--seed", "7")
    assert made["manifest"]["training"] == {"kind": "untrained", "seed": 7}
    assert "untrained-7" in answer(capsys, "model", "list")["bundles"]
    for command in ("verify", "show"):
        assert answer(capsys, "model", command, "--bundle", "untrained-7") == made


def test_a_bundle_that_was_changed_is_not_verified(library, capsys, tmp_path):
    assert main(["model", "init", "--seed", "8", "-o", str(tmp_path / "bundle")]) == 0
    encoder = tmp_path / "bundle" / "encoder.onnx"
    encoder.write_bytes(encoder.read_bytes()[:-1] + b"\0")
    assert main(["model", "verify", "--bundle", str(tmp_path / "bundle")]) == 4
    assert "BUNDLE_INVALID" in capsys.readouterr().err


def test_patches_cut_elsewhere_are_embedded(library, tmp_path):
    patches = np.zeros((2, 32, 32, 32), dtype=np.int16)
    np.savez(tmp_path / "patches.npz", patches=patches, locations=np.zeros((2, 3), dtype=np.float32))
    assert main(["model", "encode", str(tmp_path / "patches.npz"), "-o", str(tmp_path / "out.npy")]) == 0
    assert np.load(tmp_path / "out.npy").shape == (2, 128)


@pytest.mark.parametrize("content", [b"no archive", b""], ids=["text", "empty"])
def test_patches_that_are_none_are_a_wrong_call(library, tmp_path, content, capsys):
    (tmp_path / "patches.npz").write_bytes(content)
    assert main(["model", "encode", str(tmp_path / "patches.npz"), "-o", str(tmp_path / "out.npy")]) == 2
    assert not (tmp_path / "out.npy").exists()


def test_patches_of_another_shape_are_a_wrong_call(library, tmp_path):
    np.savez(tmp_path / "patches.npz", patches=np.zeros((2, 3)), locations=np.zeros((2, 3)))
    assert main(["model", "encode", str(tmp_path / "patches.npz"), "-o", str(tmp_path / "out.npy")]) == 2


def test_a_checkpoint_that_is_none_is_a_fault_of_the_setup(library, tmp_path, capsys):
    (tmp_path / "checkpoint.pth.tar").write_bytes(b"no checkpoint")
    (tmp_path / "configs.json").write_text("{}")
    arguments = [str(tmp_path / "checkpoint.pth.tar"), "--config", str(tmp_path / "configs.json")]
    assert main(["model", "import-official", *arguments]) == 4
    assert "CHECKPOINT_INVALID" in capsys.readouterr().err


@pytest.mark.parametrize(("group", "name"), [("atlas", "nothing"), ("model", "nothing")])
def test_what_is_not_in_the_library_is_said(library, capsys, group, name):
    arguments = ["atlas", "show", name] if group == "atlas" else ["model", "show", "--bundle", name]
    assert main(arguments) == 4
    assert "NOT_FOUND" in capsys.readouterr().err
