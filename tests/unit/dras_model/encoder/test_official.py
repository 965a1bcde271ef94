import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.network import EncoderNetwork
from dras_model.encoder.official import import_checkpoint
from dras_model.encoder.weights import EncoderWeights, initialise
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

CONFIGS = {
    "rep_dim": 128,
    "moco_dim": 128,
    "num_experts": 2,
    "num_coordinates": 1,
    "num_patch": 12,
    "lr": 0.01,
}
PREFIX = "module.encoder_q."


def _checkpoint(weights: EncoderWeights) -> dict[str, Any]:
    """What the authors' loop saves: both encoders, a queue, and an optimiser with momentum."""
    state = OrderedDict()
    for side in ("encoder_q", "encoder_k"):
        for name, value in EncoderNetwork.from_weights(weights).state_dict().items():
            state[f"module.{side}.{name}"] = value
    state["module.queue"] = torch.zeros(1).expand(weights.config.moco_dim, 4096, 12)
    state["module.queue_ptr"] = torch.zeros(12, dtype=torch.long)
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    momentum = {
        "state": {0: {"momentum_buffer": torch.ones(3)}},
        "param_groups": [{"lr": 0.01, "nesterov": False}],
    }
    return {"epoch": 3, "arch": "custom", "state_dict": state, "optimizer": momentum}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "configs.json").write_text(json.dumps(CONFIGS))
    return tmp_path


def _import(folder: Path, *, n_patches: int = 12) -> EncoderWeights:
    return import_checkpoint(folder / "c.pth.tar", folder / "configs.json", n_patches=n_patches).weights


def _refusal(folder: Path, **options: int) -> str:
    with pytest.raises(SetupRefused) as refusal:
        _import(folder, **options)
    assert refusal.value.code is Code.CHECKPOINT_INVALID
    sentence = str(refusal.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_the_query_encoder_comes_out_bit_for_bit(folder: Path, weights: EncoderWeights) -> None:
    torch.save(_checkpoint(weights), folder / "c.pth.tar")
    imported = import_checkpoint(folder / "c.pth.tar", folder / "configs.json", n_patches=12)
    assert imported.epoch == 3
    assert imported.sha256 == hashlib.sha256((folder / "c.pth.tar").read_bytes()).hexdigest()
    _assert_same(imported.weights, weights)


def test_what_else_the_checkpoint_holds_is_told_and_not_imported(
    folder: Path, weights: EncoderWeights
) -> None:
    torch.save(_checkpoint(weights) | {"scaler": {}}, folder / "c.pth.tar")
    imported = import_checkpoint(folder / "c.pth.tar", folder / "configs.json", n_patches=12)
    assert imported.unread == (
        "key encoder (108 tensors)",
        "module.queue (128 × 4096 × 12)",
        "module.queue_ptr (12)",
        "arch",
        "optimizer",
        "scaler (unknown)",
    )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream before PyTorch 1.6"])
@pytest.mark.parametrize("wrapper", ["module.", ""], ids=["several devices", "one device"])
@pytest.mark.parametrize("alone", [False, True], ids=["whole", "query encoder alone"])
def test_every_form_of_the_file_gives_the_same_weights(
    folder: Path, weights: EncoderWeights, *, zipped: bool, wrapper: str, alone: bool
) -> None:
    saved = _checkpoint(weights)
    saved["state_dict"] = OrderedDict(
        (name.replace("module.", wrapper, 1), value)
        for name, value in saved["state_dict"].items()
        if not alone or "encoder_q" in name
    )
    torch.save(saved, folder / "c.pth.tar", _use_new_zipfile_serialization=zipped)
    _assert_same(_import(folder), weights)


@pytest.mark.parametrize(("experts", "width", "projected"), [(1, 64, 32), (3, 256, 128), (5, 128, 16)])
def test_any_number_of_experts_and_any_width_is_imported(
    folder: Path, experts: int, width: int, projected: int
) -> None:
    sizes = {"num_experts": experts, "rep_dim": width, "moco_dim": projected}
    weights = initialise(EncoderConfig(**sizes), seed=5)
    (folder / "configs.json").write_text(json.dumps(CONFIGS | sizes))
    torch.save(_checkpoint(weights), folder / "c.pth.tar")
    _assert_same(_import(folder), weights)


def _assert_same(found: EncoderWeights, expected: EncoderWeights) -> None:
    assert found.config == expected.config
    for name, array in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], array)


@pytest.mark.parametrize("zipped", [True, False])
def test_transposed_shared_and_half_precision_storages_are_read_as_torch_reads_them(
    folder: Path, weights: EncoderWeights, *, zipped: bool
) -> None:
    saved = _checkpoint(weights)
    shared = torch.arange(2 * 128 * 128, dtype=torch.float64).reshape(2, 128, 128).half()
    saved["state_dict"][f"{PREFIX}fc.0.weight"] = shared[1].T
    saved["state_dict"][f"{PREFIX}fc.2.weight"] = shared[0]
    brief = saved["state_dict"][f"{PREFIX}conv2.weight"].bfloat16()
    saved["state_dict"][f"{PREFIX}conv2.weight"] = brief
    saved["state_dict"][f"{PREFIX}bn1.weight"] = torch.nn.Parameter(torch.arange(8.0))
    torch.save(saved, folder / "c.pth.tar", _use_new_zipfile_serialization=zipped)
    parameters = _import(folder).parameters
    np.testing.assert_array_equal(parameters["conv2.weight"], brief.float().numpy())
    np.testing.assert_array_equal(parameters["bn1.weight"], np.arange(8.0))
    np.testing.assert_array_equal(parameters["fc.0.weight"], shared[1].T.float().numpy())
    np.testing.assert_array_equal(parameters["fc.2.weight"], shared[0].float().numpy())


Change = Callable[[dict[str, Any]], object]


def _set(name: str, change: Callable[[torch.Tensor], object]) -> Change:
    return lambda saved: saved["state_dict"].update(
        {PREFIX + name: change(saved["state_dict"][PREFIX + name])}
    )


WRONG_CONTENT: dict[str, tuple[Change, str]] = {
    "no state_dict": (lambda c: c.pop("state_dict"), "no state_dict"),
    "no query encoder": (
        lambda c: [c["state_dict"].pop(k) for k in list(c["state_dict"]) if "encoder_q" in k],
        "neither module.encoder_q.* nor encoder_q.*",
    ),
    "layer missing": (lambda c: c["state_dict"].pop(f"{PREFIX}conv3.bias"), "conv3.bias is missing"),
    "layer unknown": (
        lambda c: c["state_dict"].update({f"{PREFIX}conv5.bias": torch.zeros(2)}),
        "conv5.bias belongs to no layer",
    ),
    "wrong shape": (_set("conv3.bias", lambda t: t[:-1]), "conv3.bias has shape (127,), (128,) is needed"),
    "wrong expert count": (_set("conv1.weight", lambda t: t.repeat(4, 1, 1, 1, 1, 1)), "has 8 experts"),
    "not a number": (
        _set("bn1.weight", lambda t: t * torch.nan),
        "bn1.weight holds a value that is not finite",
    ),
    "integers": (_set("bn1.weight", lambda t: t.long()), "bn1.weight is no tensor of floating-point numbers"),
    "no tensor": (
        _set("bn1.weight", lambda t: t.tolist()),
        "bn1.weight is no tensor of floating-point numbers",
    ),
    "wrong width": (
        lambda c: [_set(f"bn4.{part}", lambda t: t[:64])(c) for part in ("weight", "bias")],
        "it has 64 numbers in an embedding (rep_dim), configs.json names 128",
    ),
    "wrong projection": (
        _set("fc.2.weight", lambda t: t[:16]),
        "it has 16 numbers in a projection (moco_dim), configs.json names 128",
    ),
    "many faults": (
        lambda c: [c["state_dict"].pop(f"{PREFIX}bn{n}.bias") for n in (1, 2, 3, 4)],
        "bn1.bias is missing; bn2.bias is missing; bn3.bias is missing; and 1 more do not fit.",
    ),
    "infinite": (_set("fc.0.bias", lambda t: t / 0), "fc.0.bias holds a value that is not finite"),
    "negative variance": (
        _set("bn2.running_var", lambda t: -t - 1),
        "bn2.running_var holds a negative variance",
    ),
    "another key encoder": (
        lambda c: c["state_dict"].update({"module.encoder_k.conv1.bias": torch.zeros(9)}),
        "of the key encoder, conv1.bias has shape (9,), (8,) is needed",
    ),
    "half a key encoder": (
        lambda c: c["state_dict"].pop("module.encoder_k.fc.0.bias"),
        "of the key encoder, fc.0.bias is missing",
    ),
    "queue of another atlas": (
        lambda c: c["state_dict"].update({"module.queue": torch.zeros(1).expand(128, 4096, 581)}),
        "module.queue has shape (128, 4096, 581), (128, keys, 12) is needed",
    ),
    "queue of no locations": (
        lambda c: c["state_dict"].update({"module.queue": torch.zeros(128, 16)}),
        "module.queue has shape (128, 16), (128, keys, 12) is needed",
    ),
    "one pointer for all locations": (
        lambda c: c["state_dict"].update({"module.queue_ptr": torch.zeros(1, dtype=torch.long)}),
        "module.queue_ptr has shape (1,), (12,) is needed",
    ),
    "an entry of nobody": (
        lambda c: c["state_dict"].update({"module.extra\x1b": torch.zeros(1)}),
        r"module.extra\x1b belongs to no part of a DrasCLR checkpoint",
    ),
    "both with and without wrapper": (
        lambda c: c["state_dict"].update({"encoder_q.conv1.bias": torch.zeros(8)}),
        "encoder_q.conv1.bias belongs to no part of a DrasCLR checkpoint",
    ),
    "a key that is no name": (lambda c: c["state_dict"].update({7: torch.zeros(1)}), "7 is no tensor"),
    "an epoch that is none": (lambda c: c.update(epoch="three"), "its epoch is no number of epochs"),
    "an optimiser that is none": (lambda c: c.update(optimizer=[1]), "its optimizer is no state"),
}


@pytest.mark.parametrize("fault", WRONG_CONTENT)
def test_a_checkpoint_that_is_no_such_encoder_is_refused_in_one_sentence(
    fault: str, folder: Path, weights: EncoderWeights
) -> None:
    saved, (change, clause) = _checkpoint(weights), WRONG_CONTENT[fault]
    change(saved)
    torch.save(saved, folder / "c.pth.tar")
    assert clause in _refusal(folder)


WRONG_CONFIGS: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "no JSON object"),
    "a list": ("[]", "no JSON object"),
    "entry missing": (json.dumps({k: v for k, v in CONFIGS.items() if k != "rep_dim"}), "rep_dim is missing"),
    "another number of experts": (
        json.dumps(CONFIGS | {"num_experts": 8}),
        "2 experts, configs.json names 8",
    ),
    "a text": (json.dumps(CONFIGS | {"moco_dim": "128"}), "moco_dim: Input should be a valid integer"),
    "beyond all memory": (json.dumps(CONFIGS | {"rep_dim": 10**9}), "rep_dim: Input should be less than"),
    "another atlas": (json.dumps(CONFIGS | {"num_patch": 581}), "num_patch is 581, the atlas has 12 corners"),
}


@pytest.mark.parametrize("fault", WRONG_CONFIGS)
def test_a_configuration_that_does_not_fit_is_refused(
    fault: str, folder: Path, weights: EncoderWeights
) -> None:
    text, clause = WRONG_CONFIGS[fault]
    torch.save(_checkpoint(weights), folder / "c.pth.tar")
    (folder / "configs.json").write_text(text)
    assert clause in _refusal(folder)


def test_absent_files_are_named(folder: Path) -> None:
    assert "c.pth.tar cannot be imported: the file cannot be read" in _refusal(folder)
    (folder / "configs.json").unlink()
    assert "configs.json cannot be imported: the file cannot be read" in _refusal(folder)


class _Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.parts = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.parts


def _archive(path: Path, pickled: bytes, *, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("c/data.pkl", pickled)
        archive.writestr("c/data/0", bytes(16))


def _tensor(
    *, key: str = "0", length: int = 4, offset: int = 0, shape: str = "(I2\nt", strides: str = "(I1\nt"
) -> bytes:
    """A state_dict of one tensor, in the text protocol of pickle, so that each number can be a lie."""
    storage = f"(S'storage'\nctorch\nFloatStorage\nS'{key}'\nS'cpu'\nI{length}\ntQ"
    tensor = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{shape}{strides}I00\nN(dtR"
    return f"(dS'state_dict'\n(dS'{PREFIX}conv1.bias'\n{tensor}ss.".encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a function of another module": (pickle.dumps({"x": _Call(print, "ran")}), "names builtins.print"),
    "a name with line breaks": (b"cos\nsys\x1b[2J\n.", "names os.sys"),
    "an attribute set on what may be called": (
        b"ctorch._utils\n_rebuild_tensor_v2\n(dS'a'\nI1\nsb.",
        "malformed",
    ),
    "an attribute set on a class": (b"ccollections\nOrderedDict\n(N(dS'a'\nI1\nstb.", "malformed"),
    "a tensor whose offset is set after it was checked": (
        _tensor()[:-3] + b"(N(dS'offset'\nI99\nstbss.",
        "malformed (AttributeError)",
    ),
    "a storage type that is called": (b"ctorch\nFloatStorage\n(tR.", "malformed (TypeError)"),
    "a storage of no storage type": (
        b"(S'storage'\nI1\nS'0'\nS'cpu'\nI4\ntQ.",
        "not described as PyTorch does",
    ),
    "a storage of negative length": (_tensor(length=-1), "not described as PyTorch does"),
    "a tensor of negative stride": (_tensor(strides="(I-1\nt"), "not described as PyTorch does"),
    "a tensor of too few strides": (_tensor(strides="(t"), "not described as PyTorch does"),
    "a tensor of text": (_tensor(shape="(S'2'\nt"), "not described as PyTorch does"),
    "an empty pickle": (b"", "malformed (EOFError)"),
    "a cut pickle": (b"(dS'state_dict'\n", "its pickle is"),
    "a memory of billions of places": (b"Nr\xff\xff\xff\xff.", "malformed"),
    "nothing of the kind": (b"N.", "no state_dict"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_pickle_is_refused_in_one_sentence(fault: str, folder: Path) -> None:
    pickled, clause = HOSTILE[fault]
    _archive(folder / "c.pth.tar", pickled)
    assert clause in _refusal(folder)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickled_command_is_not_run(folder: Path, protocol: int) -> None:
    witness = folder / "ran"
    _archive(folder / "c.pth.tar", pickle.dumps(_Call(os.system, f"touch {witness}"), protocol=protocol))
    assert "which is not needed to hold tensors" in _refusal(folder)
    assert not witness.exists()


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(folder: Path, weights: EncoderWeights) -> None:
    torch.save(_checkpoint(weights), folder / "whole")
    with zipfile.ZipFile(folder / "whole") as whole, zipfile.ZipFile(folder / "c.pth.tar", "w") as short:
        for entry in whole.infolist():
            content = whole.read(entry)
            short.writestr(entry.filename, content[:-4] if entry.filename.endswith("/data/0") else content)
    assert "the storage 0 is shorter than the tensor it holds" in _refusal(folder)


def test_a_flipped_bit_in_the_weights_is_noticed(folder: Path, weights: EncoderWeights) -> None:
    path = folder / "c.pth.tar"
    torch.save(_checkpoint(weights), path)
    content = bytearray(path.read_bytes())
    place = content.find(weights.parameters["conv3.weight"].tobytes()[:64])
    content[place + 5] ^= 1
    path.write_bytes(content)
    assert "is damaged" in _refusal(folder)


@pytest.mark.parametrize("share", [0.0, 1e-5, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_ends_early_is_refused(
    folder: Path, weights: EncoderWeights, *, zipped: bool, share: float
) -> None:
    path = folder / "c.pth.tar"
    torch.save(_checkpoint(weights), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    sentence = _refusal(folder)
    assert any(
        clause in sentence for clause in ("ends early", "ends before", "malformed", "truncated", "neither")
    )


_TENSOR = _tensor()  # of four numbers, under a key of the query encoder
STREAM = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
FAULTY_STREAMS: dict[str, tuple[bytes, str]] = {
    "of another version": (STREAM[: STREAM.index(b"\xe9\x03")] + b"\xea\x03.", "neither a zip archive nor"),
    "that runs a command": (STREAM + pickle.dumps(print, 2), "names __builtin__.print"),
    "without keys": (STREAM + pickle.dumps({"state_dict": {}}, 2), "malformed (EOFError)"),
    "of keys that no tensor has": (STREAM + pickle.dumps({}, 2) + pickle.dumps(["0"], 2), "list of storages"),
    "of keys that are none": (STREAM + pickle.dumps({}, 2) + pickle.dumps(7, 2), "list of storages"),
    "of keys that are numbers": (STREAM + _TENSOR + pickle.dumps([0], 2), "no list of storages"),
    "of an endless text": (STREAM + b"S'" + b"x" * (65 * 2**20), "larger than names and shapes can be"),
    "of a tensor without its storage": (STREAM + _TENSOR + pickle.dumps([], 2), "list of storages"),
    "of a storage of another length": (
        STREAM + _TENSOR + pickle.dumps(["0"], 2) + struct.pack("<q4f", 3, *[0.0] * 4),
        "the storage 0 has another length",
    ),
    "of a storage that ends early": (
        STREAM + _TENSOR + pickle.dumps(["0"], 2) + struct.pack("<q3f", 4, *[0.0] * 3),
        "it ends before its storage 0 does",
    ),
}


@pytest.mark.parametrize("fault", FAULTY_STREAMS)
def test_a_faulty_stream_is_refused_in_one_sentence(fault: str, folder: Path) -> None:
    content, clause = FAULTY_STREAMS[fault]
    (folder / "c.pth.tar").write_bytes(content)
    assert clause in _refusal(folder)


def test_files_that_are_no_pytorch_archive_are_refused(folder: Path) -> None:
    path = folder / "c.pth.tar"
    path.write_bytes(b"no model")
    assert "neither a zip archive nor a stream that PyTorch wrote" in _refusal(folder)
    _archive(path, b"N." + bytes(10_000), compression=zipfile.ZIP_DEFLATED)
    assert "data.pkl is compressed" in _refusal(folder)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")
    assert "0 files data.pkl" in _refusal(folder)


def test_the_atlas_must_have_as_many_corners_as_the_checkpoint(folder: Path, weights: EncoderWeights) -> None:
    torch.save(_checkpoint(weights), folder / "c.pth.tar")
    assert "the atlas has 13 corners" in _refusal(folder, n_patches=13)
