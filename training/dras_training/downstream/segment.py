"""Learns to label: the encoder, from its weights or from scratch, with a decoder, on patches of labelled scans.

Who is judged on is settled before anything is learnt. Dice is counted over whole scans on their own voxels; the
segmenter itself, as files, is `segmenter`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dras_model.encoder.heads import Interval
from dras_model.encoder.network import normalise
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream import judging, tuning
from dras_training.downstream.judging import Numbers
from dras_training.downstream.labelled import Pair, Samples
from dras_training.downstream.tiling import label_study
from dras_training.downstream.tuning import Start
from dras_training.downstream.unet import SegmenterNetwork
from dras_training.telling import to_nobody

JUDGED_ON, LEAST_CASES = 4, 6  # one part of so many, of at least six cases: two
N_CALIBRATION = 16  # patches whose statistics an encoder from scratch begins with

Heard = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a segmenter is trained; the decoder, which is new, learns at the rate of what begins from scratch."""

    steps: int = 400
    batch: int = 8
    rate: float = 3e-4
    scratch_rate: float = 1e-3
    seed: int = 0
    device: str = "cpu"


def split_pairs(pairs: Sequence[Pair], *, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Return who is learnt from and who is judged on. Raises SetupRefused COHORT_INVALID of too few."""
    names = [pair.subject for pair in pairs]
    if len(set(names)) < max(LEAST_CASES, len(names)):
        reason = (
            f"{len(set(names))} subjects have labels, {max(LEAST_CASES, len(names))} are needed, each once"
        )
        raise SetupRefused(Code.COHORT_INVALID, name="of labels", reason=reason)
    order = np.random.Generator(np.random.PCG64([seed, len(pairs)])).permutation(len(pairs))
    n_judged = max(2, len(pairs) // JUDGED_ON)
    return [pairs[i] for i in sorted(order[n_judged:])], [pairs[i] for i in sorted(order[:n_judged])]


def learn(
    samples: Samples, start: Start, weights: EncoderWeights, *, course: Course, heard: Heard = to_nobody
) -> SegmenterNetwork:
    """Return a segmenter after its course, in evaluation mode. Raises SetupRefused TRAINING_DIVERGED."""
    torch.manual_seed(course.seed)
    generator = np.random.Generator(np.random.PCG64([course.seed, len(samples.patches)]))
    network = _begin(samples, start, weights, generator, course=course)
    rate = course.scratch_rate if start == "scratch" else course.rate
    decoder = [*network.up.parameters(), *network.classes.parameters()]
    parameters = [
        {"params": [*network.encoder.parameters()], "lr": rate},
        {"params": decoder, "lr": course.scratch_rate},
    ]
    optimiser = torch.optim.AdamW(parameters, weight_decay=tuning.DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, course.steps)
    classes = _classes(samples)
    for step in range(course.steps):
        rows = generator.permutation(len(samples.patches))[: course.batch]
        images, locations = _images(samples, rows, course.device)
        wanted = torch.from_numpy(classes[samples.labels[rows]]).to(course.device)
        tuning.take_step(network, misfit(network(images, locations), wanted), optimiser, step=step)
        schedule.step()
        heard((step + 1) / course.steps)
    return network.eval()


def misfit(scores: Tensor, wanted: Tensor) -> Tensor:
    """Return cross-entropy plus 1 - Dice of chances, the mean of all classes; `scores` (B, classes, z, y, x)."""
    chances = torch.softmax(scores, dim=1)
    truth = functional.one_hot(wanted, scores.shape[1]).movedim(-1, 1).to(chances)
    over = (0, 2, 3, 4)
    dice = (2.0 * (chances * truth).sum(over) + 1.0) / (chances.sum(over) + truth.sum(over) + 1.0)
    return functional.cross_entropy(scores, wanted) + 1.0 - dice.mean()


def dice_of(found: NDArray[np.uint8], truth: NDArray[np.uint8], label: int) -> float:
    """Return 2 |A and B| / (|A| + |B|), by counting; NaN where neither has the label."""
    a, b = found == label, truth == label
    n = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / n if n else float("nan")


def learn_and_judge(
    samples: Samples,
    held: Sequence[Pair],
    weights: EncoderWeights,
    atlas: Atlas,
    *,
    starts: Sequence[Start],
    stride_mm: int,
    course: Course,
    heard: Callable[[float, str], None],
) -> tuple[SegmenterNetwork, dict[Start, Numbers]]:
    """Learn from each of `starts`, pretrained the first, and judge on the cases held out.

    Returns the pretrained one and Dice (cases, labels) of all. Raises SetupRefused.
    """
    networks: dict[Start, SegmenterNetwork] = {}
    for start in starts:
        networks[start] = learn(
            samples, start, weights, course=course, heard=_with(heard, f"learning, {start}")
        )
    dice = judge(
        held,
        networks,
        samples.values,
        atlas,
        stride_mm=stride_mm,
        device=course.device,
        heard=_with(heard, f"judging on {len(held)} cases"),
    )
    return networks[starts[0]], dice


def judge(
    pairs: Sequence[Pair],
    networks: Mapping[Start, SegmenterNetwork],
    values: Sequence[int],
    atlas: Atlas,
    *,
    stride_mm: int,
    device: str = "cpu",
    heard: Heard = to_nobody,
) -> dict[Start, Numbers]:
    """Return Dice (cases, labels) of each network on whole scans; NaN where neither has the label."""
    found = {start: np.empty((len(pairs), len(values))) for start in networks}
    for row, pair in enumerate(pairs):
        case = pair.open(atlas)
        for start, network in networks.items():
            made = label_study(case.cut, network, values, atlas, stride_mm=stride_mm, device=device)
            found[start][row] = [dice_of(made.labels, case.labels.labels, value) for value in values]
        heard((row + 1) / len(pairs))
    return found


def over_cases(dice: Numbers) -> Interval | None:
    """Return the mean Dice of the cases (n,) that have a label, with its interval; None where none has."""
    known = dice[np.isfinite(dice)]
    return judging.interval(_mean, known, known) if len(known) else None


def _with(heard: Callable[[float, str], None], line: str) -> Heard:
    return lambda done: heard(done, line)


def _mean(values: Numbers, _same: Numbers) -> float:
    return float(values.mean())


def _begin(
    samples: Samples,
    start: Start,
    weights: EncoderWeights,
    generator: np.random.Generator,
    *,
    course: Course,
) -> SegmenterNetwork:
    n_classes = len(samples.values) + 1
    if start == "pretrained":
        # Its statistics are those of pretraining and stay so: BatchNorm is in evaluation, all the rest learns.
        return SegmenterNetwork(tuning.pretrained(weights), n_classes).to(course.device)
    rows = generator.permutation(len(samples.patches))[:N_CALIBRATION]
    encoder = tuning.from_scratch(weights, seed=course.seed)
    tuning.knows_range_of_images(encoder, *_images(samples, rows, "cpu"))
    return SegmenterNetwork(encoder, n_classes).to(course.device)


def _classes(samples: Samples) -> NDArray[np.int64]:
    """Return the class of each value of a label map; the background's for one that is not learnt."""
    classes = np.zeros(256, dtype=np.int64)
    classes[list(samples.values)] = np.arange(1, len(samples.values) + 1)
    return classes


def _images(samples: Samples, rows: NDArray[np.int64], device: str) -> tuple[Tensor, Tensor]:
    images = normalise(torch.from_numpy(samples.patches[rows]))
    return images.to(device), torch.from_numpy(samples.locations[rows]).to(device)
