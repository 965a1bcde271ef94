"""Against sums written out one by one in NumPy, and against three steps of the authors' own code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from dras_training.contrast import accuracy, info_nce, local_logits, neighbour_logits
from dras_training.queues import LocationQueues

N, R, C, K, T = 5, 2, 6, 9, 0.2


def unit(*shape, seed):
    vectors = np.random.default_rng(seed).standard_normal((*shape, C))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


QUERIES, KEYS, NEGATIVES, NEIGHBOURS = unit(N, seed=1), unit(N, seed=2), unit(K, seed=3), unit(N, R, seed=4)


def slow_local(left_out=None):
    logits = np.empty((N, 1 + K))
    for n in range(N):
        logits[n, 0] = sum(QUERIES[n, c] * KEYS[n, c] for c in range(C)) / T
        for k in range(K):
            logits[n, 1 + k] = sum(QUERIES[n, c] * NEGATIVES[k, c] for c in range(C)) / T
            if left_out is not None and left_out[n, k]:
                logits[n, 1 + k] = -np.inf
    return logits


def slow_neighbours():
    logits = np.zeros((N, 1 + K))
    for n in range(N):
        for r in range(R):
            logits[n, 0] += NEIGHBOURS[n, r] @ KEYS[n] / T
            for k in range(K):
                logits[n, 1 + k] += NEIGHBOURS[n, r] @ NEGATIVES[k] / T
    return logits


def slow_info_nce(logits):
    losses = [-np.log(np.exp(row[0]) / sum(np.exp(value) for value in row)) for row in logits]
    return sum(losses) / len(losses)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_local_logits_are_the_products_with_the_own_key_and_each_negative():
    found = local_logits(*tensors(QUERIES, KEYS, NEGATIVES), temperature=T)
    np.testing.assert_allclose(found, slow_local(), atol=1e-12)


def test_neighbouring_logits_are_summed_over_the_neighbours():
    found = neighbour_logits(*tensors(NEIGHBOURS, KEYS, NEGATIVES), temperature=T)
    np.testing.assert_allclose(found, slow_neighbours(), atol=1e-12)


def test_what_is_left_out_weighs_nothing():
    left_out = np.random.default_rng(5).random((N, K)) < 0.4
    found = local_logits(
        *tensors(QUERIES, KEYS, NEGATIVES), temperature=T, left_out=torch.from_numpy(left_out)
    )
    assert float(info_nce(found)) == pytest.approx(slow_info_nce(slow_local(left_out)), abs=1e-12)


def test_the_loss_is_the_mean_negative_logarithm_of_the_share_of_the_own_key():
    assert float(info_nce(torch.from_numpy(slow_local()))) == pytest.approx(slow_info_nce(slow_local()))


def test_accuracy_counts_the_rows_whose_own_key_comes_first():
    logits = torch.tensor([[3.0, 1, 2], [0, 1, 2], [5, 4, 5], [1, -1, float("-inf")]])
    assert float(accuracy(logits)) == 0.5


def test_without_negatives_every_key_comes_first():
    assert float(accuracy(torch.zeros(3, 1))) == 1.0


def test_three_steps_of_the_authors_code_are_reproduced(shared: Path):
    golden = np.load(shared / "golden" / "contrast.npz")
    temperature = float(golden["temperature"])
    queues = LocationQueues(5, 24, 16, first="random", seed=0)
    queues.keys.copy_(torch.from_numpy(golden["step0_queue_before"]).permute(2, 1, 0))
    for step in range(3):
        told = {
            name.removeprefix(f"step{step}_"): torch.from_numpy(np.asarray(golden[name]))
            for name in golden.files
            if name.startswith(f"step{step}_")
        }
        at = int(told["location"])
        query, key, neighbours = (
            functional.normalize(told[f"z_{name}"], dim=-1) for name in ("query", "key", "neighbours")
        )
        local = local_logits(query, key, queues.negatives(at), temperature=temperature)
        near = neighbour_logits(neighbours, key, queues.negatives(at), temperature=temperature)
        queues.push(at, key, torch.arange(len(key)))
        for found, name in (
            (local, "logits_local"),
            (near, "logits_neighbours"),
            (info_nce(local), "loss_local"),
            (info_nce(near), "loss_neighbours"),
            (queues.keys.permute(2, 1, 0), "queue_after"),
            (queues.pointers, "pointer_after"),
        ):
            assert float((found.double() - told[name].double()).abs().max()) <= 1e-5, name
