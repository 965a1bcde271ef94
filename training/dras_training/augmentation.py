"""Random views of patches, a batch at a time on the device that trains; all parameters are voxels, degrees and HU.

What is drawn and how it is applied are two steps. Draws are made on the CPU from one seed for a whole batch, so
that every process can make its share of the same batch, and a step is the same whenever and wherever it is taken.

Two kinds of change: what a position changes (affine, elastic, mirrored), and what a scanner and a breath change and
a disease does not (density, offset, noise, sharpness). A view without the second is recognised by its kernel.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from dras_model.encoder.architecture import PATCH_SIZE, WINDOW_HU
from dras_training.recipe import Augmentation

_HALF = (PATCH_SIZE - 1) / 2  # voxels from the centre of a patch to that of its last voxel
AIR_HU = -1000.0
_NARROWEST = 0.1  # share of the widest Gaussian
_FLAT_HU = 1e-3  # range of a patch that has no contrast to change


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What is done to each of n patches, by row; None where the recipe leaves it out.

    `affine` (n, 3, 4) maps a voxel of the view to one of the patch, in voxels (x, y, z) from the centre;
    `displaced` (n, 3, p, p, p) adds voxels at nodes; `noise_seed` (n,) is -1 where no noise is added, `noise_hu`
    (n,) its standard deviation elsewhere; `gamma` (n,) is 1 where contrast stays. `density` (n, 2) is a factor of
    the density above air and HU to add; `filters` (n, 3, p, p) weigh the voxels of a line along z, y and x.
    """

    affine: Tensor
    noise_seed: Tensor
    noise_hu: Tensor
    gamma: Tensor
    displaced: Tensor | None = None
    density: Tensor | None = None
    filters: Tensor | None = None

    def rows(self, wanted: Tensor | slice) -> Self:
        """Return the draws of some of the patches."""
        drawn = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: values[wanted] for name, values in drawn.items() if values is not None})


def draw(n: int, recipe: Augmentation, generator: torch.Generator) -> Draws:
    """Draw what `recipe` asks for `n` patches."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * 2.0 - 1.0

    rotated = _rotations(uniform(3) * math.radians(recipe.rotation_degrees))
    scaled = 1.0 + uniform(3) * recipe.scale
    shifted = uniform(3) * recipe.translation_voxels
    mirrored = torch.where(torch.rand(n, 3, generator=generator) < recipe.flip_probability, -1.0, 1.0)
    # i = axis of the patch, j = axis of the view
    linear = torch.einsum("nij,nj->nij", rotated, scaled * mirrored)
    noisy = torch.rand(n, generator=generator) < recipe.noise_probability
    seeds = torch.randint(0, 2**62, (n,), generator=generator)
    changed = torch.rand(n, generator=generator) < recipe.gamma_probability
    gamma = recipe.gamma_low + torch.rand(n, generator=generator) * (recipe.gamma_high - recipe.gamma_low)
    displaced = None
    if recipe.elastic_voxels > 0:
        nodes = (recipe.elastic_nodes,) * 3
        displaced = torch.randn(n, 3, *nodes, generator=generator) * recipe.elastic_voxels
    strengths = torch.full((n,), recipe.noise_hu)
    if recipe.noise_lowest_hu is not None:
        strengths.lerp_(torch.full((n,), recipe.noise_lowest_hu), torch.rand(n, generator=generator))
    return Draws(
        affine=torch.cat([linear, shifted.unsqueeze(2)], dim=2),
        noise_seed=torch.where(noisy, seeds, -1),
        noise_hu=strengths,
        gamma=torch.where(changed, gamma, 1.0),
        displaced=displaced,
        density=_densities(n, recipe, generator) if recipe.density or recipe.offset_hu else None,
        filters=_filters(n, recipe, generator) if recipe.sharpness_probability else None,
    )


def apply(patches_hu: Tensor, draws: Draws) -> Tensor:
    """Return a view of each patch (n, z, y, x) in HU, float32, within the window of the encoder."""
    low, high = WINDOW_HU
    views = resampled(patches_hu.float().clamp(low, high), draws)
    if draws.density is not None:
        factor, offset = draws.density.to(views.device).view(-1, 2, 1, 1, 1).unbind(1)
        views = (views - AIR_HU) * factor + (AIR_HU + offset)
    views = with_noise(views, draws.noise_seed, draws.noise_hu)
    if draws.filters is not None:
        views = filtered(views, draws.filters)
    return with_contrast(views, draws.gamma).clamp_(low, high)


def resampled(patches: Tensor, draws: Draws) -> Tensor:
    """Interpolate patches (n, z, y, x) linearly at the transformed voxels; beyond a face, its voxels go on."""
    affine = draws.affine.to(patches.device)
    # grid_sample counts from the centre in half widths, here of the voxels' centres
    theta = torch.cat([affine[:, :, :3], affine[:, :, 3:] / _HALF], dim=2)
    size = [len(patches), 1, *patches.shape[1:]]
    grid = functional.affine_grid(theta, size, align_corners=True)
    if draws.displaced is not None:
        field = functional.interpolate(
            draws.displaced.to(patches.device), size=patches.shape[1:], mode="trilinear", align_corners=True
        )
        grid = grid + field.permute(0, 2, 3, 4, 1) / _HALF
    return functional.grid_sample(
        patches.unsqueeze(1), grid, mode="bilinear", padding_mode="border", align_corners=True
    ).squeeze(1)


def filtered(patches: Tensor, filters: Tensor) -> Tensor:
    """Weigh the voxels of every line of patches (n, z, y, x) along z, y and x by `filters` (n, 3, p, p)."""
    along_z, along_y, along_x = filters.to(patches.device).unbind(1)
    # a = new voxel of a line, b = voxel it is made of
    planes = torch.einsum("nab,nbyx->nayx", along_z, patches)
    planes = along_y.unsqueeze(1) @ planes
    return planes @ along_x.transpose(1, 2).unsqueeze(1)


def with_noise(patches: Tensor, seeds: Tensor, noise_hu: Tensor) -> Tensor:
    """Add white noise of standard deviation `noise_hu` (n,) to the patches whose seed (n,) is not negative."""
    generator = torch.Generator(patches.device)
    for row in torch.nonzero(seeds >= 0).flatten().tolist():
        generator.manual_seed(int(seeds[row]))
        noise = torch.randn(patches.shape[1:], generator=generator, device=patches.device)
        patches[row] += noise * float(noise_hu[row])
    return patches


def with_contrast(patches: Tensor, gamma: Tensor) -> Tensor:
    """Raise each patch, brought to [0, 1] by its own range, to the power `gamma` (n,), and bring it back."""
    rows = torch.nonzero(gamma != 1.0).flatten().to(patches.device)
    if len(rows) == 0:
        return patches
    chosen = patches[rows]
    low, high = (edge.view(-1, 1, 1, 1) for edge in torch.aminmax(chosen.flatten(1), dim=1))
    span = (high - low).clamp(min=_FLAT_HU)
    powers = gamma.to(patches.device)[rows].view(-1, 1, 1, 1)
    patches[rows] = ((chosen - low) / span).pow(powers) * span + low
    return patches


def _densities(n: int, recipe: Augmentation, generator: torch.Generator) -> Tensor:
    """Return (n, 2): a breath makes all tissue thinner or denser, not air; what calibration does is added."""
    spread = torch.rand(n, 2, generator=generator) * 2.0 - 1.0
    return spread * torch.tensor([recipe.density, recipe.offset_hu]) + torch.tensor([1.0, 0.0])


def _filters(n: int, recipe: Augmentation, generator: torch.Generator) -> Tensor:
    """Return (n, 3, p, p): I + s (I - G) a line, where G is a Gaussian whose edges go on.

    s is -1 (all detail finer than G gone) to `sharpness`, the same along y and x, as a kernel is; along z, where
    slices are averages, at most 0. A deviation of 0 would make G the identity.
    """
    chosen = torch.rand(n, 1, generator=generator) < recipe.sharpness_probability
    plane, along_z, *sizes = torch.rand(4, n, 1, generator=generator)
    strengths = torch.cat([-along_z, *[plane * (1.0 + recipe.sharpness) - 1.0] * 2], dim=1) * chosen
    deviations = torch.cat([sizes[0], *[sizes[1]] * 2], dim=1).clamp(min=_NARROWEST) * recipe.sharpness_voxels
    steps = torch.arange(PATCH_SIZE)
    beyond = torch.arange(-PATCH_SIZE, 2 * PATCH_SIZE)
    squared = (beyond - steps.unsqueeze(1)).float() ** 2
    weights = torch.softmax(-squared / (2.0 * deviations[..., None, None] ** 2), dim=3)
    gaussian = torch.zeros(n, 3, PATCH_SIZE, PATCH_SIZE)
    gaussian.index_add_(3, beyond.clamp(0, PATCH_SIZE - 1), weights)
    return torch.eye(PATCH_SIZE).lerp(gaussian, -strengths[..., None, None])


def _rotations(angles: Tensor) -> Tensor:
    """Return R = Rz Ry Rx (n, 3, 3) of angles (n, 3) about x, y and z in radians."""
    cosines, sines = angles.cos(), angles.sin()
    whole = torch.eye(3).expand(len(angles), 3, 3)
    for axis, (a, b) in enumerate(((1, 2), (0, 2), (0, 1))):
        about = torch.eye(3).repeat(len(angles), 1, 1)
        about[:, a, a] = about[:, b, b] = cosines[:, axis]
        sign = -1.0 if axis == 1 else 1.0  # about y, x is the second axis of a right-handed turn
        about[:, a, b], about[:, b, a] = -sign * sines[:, axis], sign * sines[:, axis]
        whole = about @ whole
    return whole
