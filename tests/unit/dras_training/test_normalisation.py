import numpy as np
import pytest
import torch
from torch import nn

from dras_training.normalisation import GroupNorm3d, commit_statistics, one_group

C, EPS = 3, 1e-5


def locations(n, *, seed=0, size=32):
    """Images (n, size, C, 2, 2, 2) of n locations, each of its own mean and spread."""
    generator = np.random.default_rng(seed)
    means, spreads = (
        generator.normal(0, 1, (n, 1, C, 1, 1, 1)),
        generator.uniform(0.7, 1.5, (n, 1, C, 1, 1, 1)),
    )
    images = generator.standard_normal((n, size, C, 2, 2, 2)) * spreads + means
    return torch.from_numpy(images.astype(np.float32))


def trained(kind, images, *, momentum=0.05, warm_up_steps=1, group=32):
    """A layer that has seen the batches, each of one location, again and again in mixed order."""
    layer = GroupNorm3d(C, eps=EPS, group=group, kind=kind, momentum=momentum, warm_up_steps=warm_up_steps)
    generator = np.random.default_rng(1)
    for _ in range(40):
        for at in generator.permutation(len(images)):
            layer(images[at])
            commit_statistics(layer)
    return layer


def test_groups_are_normalised_as_batches_of_their_own_by_pytorch():
    layer = GroupNorm3d(C, eps=EPS, group=4, kind="batch")
    plain = nn.BatchNorm3d(C, eps=EPS)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2, 3]))
        layer.bias.copy_(torch.tensor([0.5, -1, 0]))
    plain.load_state_dict(layer.state_dict())
    images = locations(1)[0][:12]
    expected = torch.cat([plain(images[i : i + 4]) for i in (0, 4, 8)])
    torch.testing.assert_close(layer(images), expected, atol=1e-5, rtol=1e-5)


def test_running_statistics_are_those_of_all_locations_together():
    images = locations(20)
    for kind in ("batch", "running"):
        layer = trained(kind, images, momentum=0.001)
        flat = images.permute(2, 0, 1, 3, 4, 5).reshape(C, -1)
        torch.testing.assert_close(layer.running_mean, flat.mean(1), atol=0.05, rtol=0.02)
        torch.testing.assert_close(layer.running_var, flat.var(1), atol=0.05, rtol=0.05)


def test_the_mean_of_the_variances_within_batches_is_not_what_is_needed():
    """What PyTorch keeps: between locations nothing varies, and evaluation is far from any location."""
    images = locations(20)
    plain = nn.BatchNorm3d(C, eps=EPS, momentum=0.01)
    for _ in range(40):
        for batch in images:
            plain(batch)
    whole = images.permute(2, 0, 1, 3, 4, 5).reshape(C, -1).var(1)
    assert (plain.running_var < 0.8 * whole).all()


def test_training_computes_what_evaluation_computes_at_every_location():
    images = locations(20)
    layer = trained("running", images)
    for batch in images:
        found = layer.train()(batch)
        layer.take_sums()
        torch.testing.assert_close(found, layer.eval()(batch), atol=1e-4, rtol=1e-4)


def test_as_released_training_and_evaluation_differ():
    images = locations(20)
    layer = trained("batch", images)
    with torch.no_grad():
        differences = [float((layer.train()(batch) - layer.eval()(batch)).abs().mean()) for batch in images]
    assert min(differences) > 0.05
    assert max(differences) > 0.5


def test_gradients_flow_through_the_statistics_of_the_group():
    """Ioffe 2017, equation of the backward pass: that of BatchNorm, r and d being constants."""
    images = locations(4)
    layer = trained("running", images)
    batch = images[2].double().requires_grad_()
    weights = torch.randn(batch.shape, dtype=torch.float64)
    axes = (0, 2, 3, 4)
    mean, deviation = (
        batch.mean(axes, keepdim=True),
        (batch.var(axes, correction=0, keepdim=True) + EPS).sqrt(),
    )
    running = (layer.running_var.double() + EPS).sqrt().view(1, C, 1, 1, 1)
    r = (deviation / running).detach()
    d = ((mean - layer.running_mean.double().view(1, C, 1, 1, 1)) / running).detach()
    (((batch - mean) / deviation * r + d) * weights).sum().backward()
    single = images[2].clone().requires_grad_()
    (layer.train()(single) * weights.float()).sum().backward()
    torch.testing.assert_close(single.grad.double(), batch.grad, atol=1e-3, rtol=1e-3)


def test_a_new_layer_corrects_nothing():
    images = locations(1)[0]
    renewed = GroupNorm3d(C, eps=EPS, group=32, kind="running", warm_up_steps=10)
    plain = GroupNorm3d(C, eps=EPS, group=32, kind="batch")
    torch.testing.assert_close(renewed(images), plain(images))


def test_the_correction_is_bounded():
    layer = GroupNorm3d(C, eps=EPS, group=32, kind="running", warm_up_steps=1)
    layer(locations(1)[0])
    commit_statistics(layer)
    far = 1000.0 + 100.0 * torch.randn(32, C, 2, 2, 2)
    assert layer(far).abs().max() < 5 * 3 + 5 + 1  # normal values · r + d


def test_steps_count_once_however_many_parts_they_are_computed_in():
    images = locations(1, size=12)[0]
    whole, parts = (GroupNorm3d(C, eps=EPS, group=4) for _ in range(2))
    whole(images)
    for part in images.split(4):
        parts(part)
    for layer in (whole, parts):
        commit_statistics(layer)
    assert int(parts.num_batches_tracked) == 1
    torch.testing.assert_close(whole.running_var, parts.running_var)


@pytest.mark.parametrize("kind", ["batch", "running"])
def test_one_group_lasts_as_long_as_its_context(kind):
    layer = GroupNorm3d(C, eps=EPS, group=2, kind=kind)
    images = locations(1)[0]
    with one_group(layer):
        found = layer(images)
    torch.testing.assert_close(found.mean((0, 2, 3, 4)), torch.zeros(C), atol=1e-5, rtol=0)
    assert (layer.group, layer.kind) == (2, kind)
