"""What one step computes, against the same sums written out subject by subject."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from dras_training.loading import batches
from dras_training.method import MEASURES, Method
from dras_training.pretrain import plan
from dras_training.processes import Group
from unit.dras_training.conftest import changed


def vectors(n, *, seed):
    drawn = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1)


def slow_losses(method, projected, rows, keys, subjects, *, location, batch_keys, mask_own):
    """InfoNCE of the local and of the neighbouring logits, by Python sums."""
    unit = functional.normalize(projected, dim=1).double().numpy()
    stored = method.queues.keys[location].double().numpy()
    owners = method.queues.owners[location].numpy()
    n, losses = len(rows), {"local": [], "near": []}
    for i, row in enumerate(rows.tolist()):
        negatives = [k for k, o in zip(stored, owners, strict=True) if not (mask_own and o == subjects[row])]
        if batch_keys:
            negatives += [keys[j].double().numpy() for j in range(len(keys)) if j != row]
        views = {"local": [unit[i]], "near": [unit[n + i], unit[2 * n + i]]}
        for name, queries in views.items():
            logits = [sum(q @ k for q in queries) / 0.2 for k in (keys[row].double().numpy(), *negatives)]
            losses[name].append(np.log(np.sum(np.exp(logits))) - logits[0])
    return np.mean(losses["local"]), np.mean(losses["near"])


@pytest.mark.parametrize(
    ("batch_keys", "mask_own"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_losses_are_those_of_slow_sums_whatever_the_negatives(recipe, few_corners, batch_keys, mask_own):
    method = Method(changed(recipe, contrast={"batch_keys": batch_keys, "mask_own": mask_own}), few_corners)
    subjects, rows = torch.tensor([5, 2, 7, 3]), torch.tensor([2, 3])
    method.queues.push(1, vectors(3, seed=9), torch.tensor([7, 7, 3]))
    keys, projected = vectors(4, seed=1), 3.0 * vectors(6, seed=2)
    found = dict(
        zip(MEASURES, method._losses(projected, rows, keys, subjects, location=1).tolist(), strict=True)
    )
    local, near = slow_losses(
        method, projected, rows, keys, subjects, location=1, batch_keys=batch_keys, mask_own=mask_own
    )
    assert found["loss_local"] == pytest.approx(local, abs=1e-5)
    assert found["loss_neighbours"] == pytest.approx(near, abs=1e-5)
    assert found["loss"] == pytest.approx(local + near, abs=1e-5)


def test_plain_moco_compares_with_keys_of_every_location(recipe, few_corners):
    """What was pushed at one location is a negative at another: the losses are those of one queue for all."""
    plain = changed(
        recipe, contrast={"conditioned": False, "batch_keys": False, "mask_own": False, "neighbours": 0}
    )
    method, keys, projected = Method(plain, few_corners), vectors(4, seed=1), 3.0 * vectors(4, seed=2)
    assert len(method.queues.keys) == 1
    method.queues.push(method._queue(4), vectors(7, seed=9), torch.arange(7))
    subjects, rows = torch.arange(4), torch.arange(4)
    found = method._losses(projected, rows, keys, subjects, location=1)
    logits = functional.normalize(projected, dim=1) @ torch.cat([keys, vectors(7, seed=9)]).T / 0.2
    own, others = logits[:, :4].diagonal(), logits[:, 4:]
    expected = (torch.logsumexp(torch.cat([own[:, None], others], 1), 1) - own).mean()
    assert float(found[0]) == pytest.approx(float(expected), abs=1e-5)


def test_without_neighbours_a_step_is_that_of_the_local_loss_alone(store, recipe, few_corners):
    local = changed(recipe, contrast={"neighbours": 0})
    method = Method(local, few_corners)
    measured = method.step(
        next(batches(store, plan(local, store, few_corners), steps=(0, 1), workers=0)), Group()
    )
    found = dict(zip(MEASURES, measured.tolist(), strict=True))
    assert found["loss"] == found["loss_local"] > 0.0
    assert found["loss_neighbours"] == found["accuracy_neighbours"] == 0.0
    assert all(bool(parameter.grad.any()) for parameter in method.query.fc.parameters())


def test_recognised_counts_among_the_keys_of_the_batch_alone(recipe, few_corners):
    method = Method(recipe, few_corners)
    keys = torch.eye(8)[:4]
    projected = torch.cat([keys[[0, 1, 0, 3]], vectors(8, seed=3)])  # the third is taken for the first
    found = method._losses(projected, torch.arange(4), keys, torch.arange(4), location=0)
    assert float(found[MEASURES.index("recognised")]) == 0.75


def test_keys_are_made_of_the_other_scan_where_the_batch_brings_one(store, recipe, few_corners):
    batch = next(batches(store, plan(recipe, store, few_corners), steps=(0, 1), workers=0))
    other = batch._replace(centres=torch.from_numpy(store.read((batch.key.location,), (6, 7, 6, 7))[:, 0]))
    queued = {}
    for name, brought in (("same", batch), ("other", other)):
        method = Method(recipe, few_corners)
        drawn, group = method.draw(0), Group()
        method.step(brought, group)
        queued[name] = method.queues.keys[batch.key.location, :4]
        method = Method(recipe, few_corners)
        expected = method._keys(brought.centres, batch.key.location, drawn, group)
        torch.testing.assert_close(queued[name], expected)
    assert not torch.allclose(queued["same"], queued["other"], atol=1e-3)


def test_views_and_orders_are_functions_of_the_step(recipe, few_corners):
    first, second = (Method(recipe, few_corners) for _ in range(2))
    assert torch.equal(first.draw(7).views.affine, second.draw(7).views.affine)
    assert torch.equal(first.draw(7).order, second.draw(7).order)
    assert not torch.equal(first.draw(7).views.affine, first.draw(8).views.affine)
    assert len(first.draw(0).views.gamma) == 4 * 4  # query, key and two neighbours of four subjects


def test_no_gradient_reaches_the_keys(store, recipe, few_corners):
    method = Method(recipe, few_corners)
    method.step(next(batches(store, plan(recipe, store, few_corners), steps=(0, 1), workers=0)), Group())
    assert all(parameter.grad is None for parameter in method.key.parameters())
    assert all(parameter.grad is not None for parameter in method.query.parameters())


def test_a_step_in_bfloat16_is_finite_and_near_that_in_float32(store, recipe, few_corners):
    batch = next(batches(store, plan(recipe, store, few_corners), steps=(0, 1), workers=0))
    measured = []
    for precision in ("float32", "bfloat16"):
        method = Method(changed(recipe, optimisation={"precision": precision}), few_corners)
        measured.append(method.step(batch, Group())[:3])
        assert all(torch.isfinite(p.grad).all() for p in method.query.parameters())
        assert method.query.get_submodule("bn1").take_sums().dtype == torch.float32
    torch.testing.assert_close(*measured, atol=0.3, rtol=0.1)
