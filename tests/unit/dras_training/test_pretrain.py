"""The loop on a store of textures: what goes on after a stop, what is equal to what, what is refused."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training import checkpoint
from dras_training.loading import batches
from dras_training.logs import read_log
from dras_training.method import Method
from dras_training.pretrain import Training, pretrain
from dras_training.processes import Group
from dras_training.store import PatchStore
from unit.dras_training.conftest import changed, fill

STEPS = 10
ROUNDING = 1e-4  # of float32 sums in another order, over two steps


def state(run):
    """Everything a checkpoint holds, flat: name to tensor or plain value."""
    saved = torch.load(run / checkpoint.CHECKPOINT, weights_only=True)

    def walk(value, name):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{name}.{key}")
        elif isinstance(value, list | tuple):
            for i, inner in enumerate(value):
                yield from walk(inner, f"{name}.{i}")
        else:
            yield name, value

    return dict(walk(saved, ""))


def assert_same(first, second, *, but=()):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if name.startswith(tuple(but)):
            continue
        other = second[name]
        same = torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
        assert same, name


def assert_close(first, second, *, atol, rtol=1e-3):
    for name, value in first.items():
        if isinstance(value, torch.Tensor) and name.startswith((".method", ".optimiser")):
            torch.testing.assert_close(
                value, second[name], atol=atol, rtol=rtol, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.fixture(scope="module")
def ten(store, recipe, few_corners, tmp_path_factory):
    run = tmp_path_factory.mktemp("ten") / "run"
    pretrain(recipe, store, few_corners, run, until=STEPS)
    return run


def test_ten_steps_are_five_a_checkpoint_and_five_to_the_bit(ten, store, recipe, few_corners, run):
    pretrain(recipe, store, few_corners, run, until=5)
    random.random(), torch.rand(7), np.random.rand(7)  # noqa: NPY002  what the process draws in between changes nothing
    done = pretrain(recipe, store, few_corners, run, until=STEPS)
    assert done.step == STEPS
    assert_same(state(ten), state(run))
    told = [
        [{k: v for k, v in line.items() if k.startswith(("step", "loss", "acc"))} for line in read_log(r)]
        for r in (ten, run)
    ]
    assert told[0] == told[1]


def test_everything_that_shapes_the_next_step_is_in_the_checkpoint(ten):
    names = set(state(ten))
    for part in (
        ".step",
        ".method.query.conv1.weight",
        ".method.key.conv1.weight",
        ".method.query.bn1.running_var",
        ".method.queues.keys",
        ".method.queues.pointers",
        ".method.queues.owners",
        ".optimiser.state.0.momentum_buffer",
        ".generators.torch",
        ".generators.numpy.1",
    ):
        assert part in names


def test_a_training_that_is_done_is_not_begun_again(store, recipe, few_corners, run):
    short = changed(recipe, optimisation={"most_steps": 2})
    assert pretrain(short, store, few_corners, run).step == 2
    before = (run / checkpoint.CHECKPOINT).stat().st_mtime_ns
    assert pretrain(short, store, few_corners, run).step == 2
    assert (run / checkpoint.CHECKPOINT).stat().st_mtime_ns == before


def test_the_key_encoder_moves_before_it_encodes_and_by_its_momentum(store, recipe, few_corners):
    training = Training.begin(recipe, store, few_corners, Group())
    method = training.method
    with torch.no_grad():
        for parameter in method.query.parameters():
            parameter.add_(0.1)
    before = {k: v.clone() for k, v in method.key.named_parameters()}
    query = {k: v.clone() for k, v in method.query.named_parameters()}
    expected = {k: before[k] * 0.999 + query[k] * 0.001 for k in before}
    encoded_with = {}
    method.key.register_forward_pre_hook(
        lambda module, _: encoded_with.update({k: v.clone() for k, v in module.named_parameters()})
    )
    training.take(next(batches(store, training.schedule, steps=(0, 1), workers=0)), method.query)
    for name, value in expected.items():
        torch.testing.assert_close(encoded_with[name], value, msg=name)
        assert torch.equal(dict(method.key.named_parameters())[name], encoded_with[name])


@pytest.fixture(scope="module")
def eight(recipe):
    """Two groups of four: of two, the last layer normalises two numbers, and rounding decides their sign."""
    return changed(recipe, optimisation={"batch": 8}, normalisation={"group": 4})


@pytest.fixture(scope="module")
def whole(eight, store, few_corners, tmp_path_factory):
    """Two steps of whole batches in one process."""
    run = tmp_path_factory.mktemp("whole") / "run"
    pretrain(eight, store, few_corners, run, until=2)
    return run


@pytest.fixture
def in_double(monkeypatch):
    """Every number has 64 bits, so that what a processor makes of another order of sums hides nothing."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    move = Method.to
    monkeypatch.setattr(Method, "to", lambda method, device: move(method.double(), device))
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_gradients_added_up_over_parts_are_those_of_the_whole_batch(
    in_double, eight, store, few_corners, tmp_path
):
    for name, parts in (("whole", 1), ("parts", 2)):
        one = changed(eight, optimisation={"accumulate": parts})
        pretrain(one, store, few_corners, tmp_path / name, until=2)
    assert_close(state(tmp_path / "whole"), state(tmp_path / "parts"), atol=1e-9, rtol=1e-9)


def test_shuffled_keys_come_back_to_their_queries(in_double, store, recipe, few_corners):
    """Without a difference between groups, the order in which keys are encoded changes nothing."""
    measured = []
    for shuffled in (True, False):
        one = changed(recipe, normalisation={"group": 4, "shuffle_keys": shuffled}, augmentation=STILL)
        training = Training.begin(one, store, few_corners, Group())
        batch = next(batches(store, training.schedule, steps=(0, 1), workers=0))
        measured.append(training.take(batch, training.method.query))
    torch.testing.assert_close(*measured, atol=1e-9, rtol=1e-9)


STILL = {
    "translation_voxels": 0.0,
    "rotation_degrees": 0.0,
    "scale": 0.0,
    "noise_probability": 0.0,
    "gamma_probability": 0.0,
}

KILLED = """
import torch
from pathlib import Path
from dataclasses import replace
from dras_model.library import open_atlas
from dras_training.method import Method
from dras_training.pretrain import pretrain
from dras_training.recipe import parse_recipe_json
from dras_training.processes import joined
from dras_training.store import PatchStore
import numpy as np
torch.set_num_threads(1)
atlas = open_atlas()
chosen = np.linspace(0, len(atlas.corners) - 1, 6).astype(int)
atlas = replace(atlas, corners=atlas.corners[chosen], sha256="f" * 64)
recipe = parse_recipe_json({recipe!r}, name="test")
with joined("cpu") as group:
    pretrain(recipe, PatchStore.open(Path({store!r}), atlas), atlas, Path({run!r}), group=group, until={until})
"""


def script(tmp_path, *, recipe, store, run, until):
    path = tmp_path / "train.py"
    text = KILLED.format(recipe=recipe.model_dump_json(), store=str(store.path), run=str(run), until=until)
    path.write_text(text, "utf-8")
    return path


def test_a_killed_run_goes_on_from_its_last_checkpoint(ten, store, recipe, few_corners, tmp_path, run):
    often = changed(recipe, run={"checkpoint_steps": 2})
    place = script(tmp_path, recipe=often, store=store, run=run, until=1000)
    process = subprocess.Popen([sys.executable, str(place)], stderr=subprocess.PIPE, text=True)
    ends = time.monotonic() + 120
    while not (run / "log.jsonl").exists() or len(read_log(run)) < 4:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < ends
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = int(state(run)[".step"])
    assert 2 <= reached < STEPS
    assert pretrain(often, store, few_corners, run, until=STEPS).step == STEPS
    assert_same(state(ten), state(run))
    steps = [line["step"] for line in read_log(run)]
    assert steps == sorted(set(steps))


def test_two_processes_compute_what_one_computes(whole, eight, store, tmp_path, run):
    """By torchrun and gloo: half of each batch in each, keys dealt across both."""
    place = script(tmp_path, recipe=eight, store=store, run=run, until=2)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(place),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_close(state(whole), state(run), atol=ROUNDING)
    first, second = read_log(whole)[-1], read_log(run)[-1]
    for name in ("loss", "loss_local", "loss_neighbours", "accuracy_local"):
        assert first[name] == pytest.approx(second[name], abs=1e-4)


def refused(code, *arguments, **options):
    with pytest.raises(SetupRefused) as raised:
        pretrain(*arguments, **options)
    assert raised.value.code is code
    return str(raised.value)


def test_a_checkpoint_of_another_recipe_atlas_or_cohort_is_refused(ten, store, recipe, few_corners, tmp_path):
    other = changed(recipe, optimisation={"learning_rate": 0.5})
    assert "another recipe" in refused(Code.RESUME_IMPOSSIBLE, other, store, few_corners, ten)
    moved = replace(few_corners, sha256="d" * 64)
    fewer = fill(PatchStore.create(tmp_path / "fewer", few_corners, slots=8), 5)
    assert "another patch store" in refused(Code.RESUME_IMPOSSIBLE, recipe, fewer, few_corners, ten)
    elsewhere = fill(PatchStore.create(tmp_path / "elsewhere", moved, slots=8))
    assert "another atlas" in refused(Code.RESUME_IMPOSSIBLE, recipe, elsewhere, moved, ten)
    with pytest.raises(SetupRefused, match="was cut by atlas"):
        PatchStore.open(elsewhere.path, few_corners)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "another pickle"])
def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(ten, store, recipe, few_corners, run, damage):
    run.mkdir()
    content = (ten / checkpoint.CHECKPOINT).read_bytes()
    place = run / checkpoint.CHECKPOINT
    match damage:
        case "cut":
            place.write_bytes(content[: len(content) // 2])
        case "text":
            place.write_text("no checkpoint")
        case "empty":
            place.write_bytes(b"")
        case _:
            torch.save({"identity": eval}, place)
    before = place.read_bytes()
    refused(Code.RESUME_IMPOSSIBLE, recipe, store, few_corners, run)
    assert place.read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_training_and_spoils_no_checkpoint(
    store, recipe, few_corners, run
):
    wild = changed(recipe, optimisation={"learning_rate": 1e30}, run={"checkpoint_steps": 1})
    sentence = refused(Code.TRAINING_DIVERGED, wild, store, few_corners, run)
    assert "lower the learning rate" in sentence
    saved = state(run)
    assert saved[".step"] < len(read_log(run)) + 1
    assert (run / checkpoint.CHECKPOINT).exists()


def test_too_few_subjects_for_a_batch_are_refused_before_anything_is_written(
    recipe, few_corners, tmp_path, run
):
    few = fill(PatchStore.create(tmp_path / "few", few_corners, slots=3), 3)
    assert "the store holds 3" in refused(Code.STORE_INVALID, recipe, few, few_corners, run)
    assert not run.exists()


def test_a_full_disk_is_one_sentence_and_leaves_the_last_checkpoint(
    ten, store, recipe, few_corners, run, monkeypatch
):
    pretrain(recipe, store, few_corners, run, until=2)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    assert "No space left" in refused(Code.OUTPUT_NOT_WRITABLE, recipe, store, few_corners, run, until=4)
    monkeypatch.undo()
    assert pretrain(recipe, store, few_corners, run, until=STEPS).step == STEPS
    assert_same(state(ten), state(run))


def test_a_place_that_cannot_be_written_is_refused(store, recipe, few_corners, tmp_path):
    (tmp_path / "file").write_text("")
    refused(Code.OUTPUT_NOT_WRITABLE, recipe, store, few_corners, tmp_path / "file" / "run")


def test_the_log_tells_every_step_its_pace_and_the_time_left(ten):
    lines = read_log(ten)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    for line in lines:
        assert line["loss"] == pytest.approx(line["loss_local"] + line["loss_neighbours"], abs=1e-5)
        assert 0 <= line["waited"] < 1
        assert line["patches_per_s"] > 0
        assert line["eta_s"] >= 0
    assert list((ten / "tensorboard").iterdir())
    assert json.loads((ten / "recipe.json").read_text())["name"] == "smoke"
