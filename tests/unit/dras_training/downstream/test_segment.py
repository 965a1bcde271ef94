"""Labelling: Dice against counting, tiles put back where they were, files that are believed only as written."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.calibration import textures
from dras_model.encoder.manifest import AtlasIdentity
from dras_model.encoder.network import normalise
from dras_model.encoder.weights import initialise
from dras_model.imaging.atlas import LEFT
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream.labelled import Labelled, Pair, Samples, draw, list_pairs, on_lattice
from dras_training.downstream.segment import Course, dice_of, learn, misfit, over_cases, split_pairs
from dras_training.downstream.segmenter import ABOUT, WEIGHTS, Segmenter, save, told_of
from dras_training.downstream.tiling import label_study

DARK_HU = -850
COURSE = Course(steps=10, batch=3, scratch_rate=5e-3)


@pytest.fixture(scope="module")
def weights():
    return initialise(EncoderConfig(rep_dim=8, moco_dim=8, num_experts=1), seed=2)


@pytest.fixture(scope="module")
def samples(atlas):
    """Half bright, half dark cubes of texture; what is dark is labelled 5."""
    patches = (textures(8, seed=3) // 20 - 700).astype(np.int16)
    patches[:, :, :, 16:] -= 200
    locations = atlas.locations[np.linspace(0, len(atlas.locations) - 1, 8).astype(int)]
    return Samples(patches, np.where(patches < DARK_HU, 5, 0).astype(np.uint8), locations, (5,))


@pytest.fixture(scope="module")
def network(samples, weights):
    return learn(samples, "scratch", weights, course=COURSE)


def test_a_segmenter_learns_to_label_what_is_dark(network, samples):
    with torch.no_grad():
        scores = network(normalise(torch.from_numpy(samples.patches)), torch.from_numpy(samples.locations))
    found = np.where(scores.argmax(dim=1).numpy() == 1, 5, 0).astype(np.uint8)
    assert dice_of(found, samples.labels, 5) > 0.9


def test_the_same_course_gives_the_same_segmenter_and_pretraining_keeps_its_statistics(samples, weights):
    course = Course(steps=1, batch=2)
    one, two = (learn(samples, "pretrained", weights, course=course).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    kept = weights.parameters["bn1.running_mean"]
    assert np.array_equal(one["encoder.bn1.running_mean"].numpy(), kept)
    assert not np.array_equal(one["encoder.conv1.weight"].numpy(), weights.parameters["conv1.weight"])


def test_dice_is_what_counting_gives():
    rng = np.random.default_rng(0)
    found, truth = rng.integers(0, 3, (2, 5, 6, 7)).astype(np.uint8)
    a = {tuple(at) for at in np.argwhere(found == 2)}
    b = {tuple(at) for at in np.argwhere(truth == 2)}
    assert dice_of(found, truth, 2) == pytest.approx(2 * len(a & b) / (len(a) + len(b)))
    assert np.isnan(dice_of(found, truth, 9))
    assert dice_of(found, found, 2) == 1.0
    assert over_cases(np.array([0.2, np.nan, 0.6])).value == pytest.approx(0.4)
    assert over_cases(np.array([np.nan])) is None


def test_the_misfit_of_certain_scores_is_that_of_dice_written_out():
    wanted = torch.tensor([[[[0, 1], [1, 1]]]])
    said = torch.tensor([[[[0, 1], [0, 1]]]])
    scores = 50.0 * torch.nn.functional.one_hot(said, 2).movedim(-1, 1).float()
    dice = np.mean([(2 * 1 + 1) / (2 + 1 + 1), (2 * 2 + 1) / (2 + 3 + 1)])
    assert float(misfit(scores, wanted)) == pytest.approx(50.0 / 4 + 1 - dice, rel=1e-4)


class Darkness(torch.nn.Module):
    """In the place of a network: it knows what is dark."""

    def forward(self, images, _locations):
        hu = (images + 1.0) * 632 - 1024
        dark = (hu < DARK_HU).float()
        return torch.cat([20.0 * (1 - dark), 20.0 * dark], dim=1)


def study(spacing_mm, shape, atlas):
    """A scan that is lung everywhere, with a dark box in it; the atlas lies on it as it is."""
    grid = Grid(shape, np.diag([*spacing_mm, 1.0]))
    hu = np.full(shape, -700.0, dtype=np.float32)
    extent = np.array(shape) * spacing_mm
    box = tuple(slice(int(0.3 * e / s), int(0.7 * e / s)) for e, s in zip(extent, spacing_mm, strict=True))
    hu[box] = -1000.0
    lungs = LabelMap(np.full(shape, LEFT, dtype=np.uint8), grid)
    labels = LabelMap(np.where(hu < DARK_HU, 3, 0).astype(np.uint8), grid)
    alignment = SimpleNamespace(matrix=np.eye(4))
    return SimpleNamespace(
        volume=Volume(hu, grid), lungs=SimpleNamespace(map=lungs), alignment=alignment
    ), labels


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7)])
def test_tiles_put_labels_back_on_the_voxels_they_belong_to(spacing_mm, atlas):
    shape = tuple(int(70 / mm) for mm in spacing_mm)
    cut, labels = study(spacing_mm, shape, atlas)
    made = label_study(cut, Darkness(), (3,), atlas, stride_mm=16)
    assert made.grid is cut.volume.grid
    assert dice_of(made.labels, labels.labels, 3) > 0.93
    # Overlapping tiles agree on what is one voxel's, so that another stride changes next to nothing.
    other = label_study(cut, Darkness(), (3,), atlas, stride_mm=32)
    assert (other.labels != made.labels).mean() < 0.01


def test_patches_of_a_case_show_its_labels_where_they_are(atlas):
    cut, labels = study((2.0, 1.0, 1.0), (40, 80, 80), atlas)
    found = draw(Labelled("somebody", cut, labels), atlas, n=12, seed=1)
    assert found.values == (3,)
    assert (found.labels == 3).any(axis=(1, 2, 3)).mean() >= 0.5
    agree = (found.patches < DARK_HU) == (found.labels == 3)
    assert agree.mean() > 0.97
    assert on_lattice(labels).shape == (78, 80, 80)
    assert np.array_equal(on_lattice(labels)[::2], labels.labels[:39])


@pytest.fixture(scope="module")
def saved(network, weights, atlas, tmp_path_factory):
    place = tmp_path_factory.mktemp("segmenter") / "dark"
    identity = AtlasIdentity(name=atlas.name, version=atlas.version, sha256=atlas.sha256, n_patches=581)
    dice = {"pretrained": np.array([[0.8], [0.9]]), "scratch": np.array([[0.5], [np.nan]])}
    told = {"bundle": "some", "bundle_sha256": "0" * 64, "cohort": "textures", "licence": "MIT"}
    labels = told_of((5,), dice)
    save(
        place, network, name="dark", encoder=weights.config, atlas=identity, n_cases=6, labels=labels, **told
    )
    return place


def test_a_segmenter_that_was_written_is_read_to_the_bit(saved, network, samples):
    again = Segmenter.load(saved)
    assert again.values == (5,)
    assert again.about.labels[0].dice.value == pytest.approx(0.85)
    assert again.about.labels[0].dice_from_scratch.value == pytest.approx(0.5)
    image, location = (
        normalise(torch.from_numpy(samples.patches[:1])),
        torch.from_numpy(samples.locations[:1]),
    )
    with torch.no_grad():
        assert torch.equal(again.network(image, location), network(image, location))


def test_a_segmenter_that_was_changed_is_refused(saved, tmp_path):
    content = (saved / WEIGHTS).read_bytes()
    for name, weights in (("changed", content[:-1] + bytes([content[-1] ^ 1])), ("short", content[:100])):
        (tmp_path / name).mkdir()
        (tmp_path / name / ABOUT).write_bytes((saved / ABOUT).read_bytes())
        (tmp_path / name / WEIGHTS).write_bytes(weights)
        with pytest.raises(SetupRefused, match="another SHA-256") as refused:
            Segmenter.load(tmp_path / name)
        assert refused.value.code is Code.BUNDLE_INVALID
    with pytest.raises(SetupRefused) as refused:
        Segmenter.load(tmp_path / "nothing")
    assert refused.value.code is Code.BUNDLE_NOT_FOUND


def test_pairs_are_found_by_name_or_in_a_table_and_a_scan_without_labels_is_told(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nii.gz").write_bytes(b"")
    (tmp_path / "images" / "b").mkdir()
    (tmp_path / "labels" / "b.nrrd").write_bytes(b"")
    expected = [
        Pair("a", tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz"),
        Pair("b", tmp_path / "images" / "b", tmp_path / "labels" / "b.nrrd"),
    ]
    assert list_pairs(tmp_path) == expected
    (tmp_path / "t.csv").write_text(
        "subject,image,labels\na,images/a.nii.gz,labels/a.nii.gz\nb,images/b,labels/b.nrrd\n"
    )
    assert list_pairs(tmp_path / "t.csv") == expected
    (tmp_path / "labels" / "b.nrrd").unlink()
    with pytest.raises(SetupRefused, match="0 files for b"):
        list_pairs(tmp_path)


def test_who_is_judged_on_is_not_learnt_from(tmp_path):
    pairs = [Pair(f"s{i}", tmp_path / f"{i}", tmp_path / f"{i}") for i in range(9)]
    learners, judged = split_pairs(pairs, seed=1)
    assert len(judged) == 2
    assert sorted(learners + judged, key=str) == sorted(pairs, key=str)
    with pytest.raises(SetupRefused, match="6 are needed"):
        split_pairs(pairs[:5], seed=1)
