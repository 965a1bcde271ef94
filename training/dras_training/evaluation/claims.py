"""What is asked of weights, decided before their figures are known, and whether the figures hold it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dras_training.evaluation.robustness import ASKED
from dras_training.evaluation.systems import System

LEAST_ADVANTAGE = 0.10  # of the mean AUC of subtypes over LAA-950 and over untrained weights
SUBTYPE = "subtype"  # the question that is asked for most


def claims_of_questions(
    told: Sequence[Mapping[str, Any]], systems: Sequence[System]
) -> Iterator[dict[str, Any]]:
    """Yield what is asked of the weights, and whether the figures hold it."""
    apart = next(question for question in told if question["key"] == SUBTYPE)["differences"]
    for system in systems[1:]:
        if system.kind == "control":
            continue
        found = apart[system.name]
        baseline = system.kind == "baseline"
        asked = f"at least {LEAST_ADVANTAGE:.2f}" if baseline else "more than its interval"
        yield {
            "asked": f"subtypes by region, AUC: {found['of']} better than {system.name} by {asked}",
            "found": found,
            "holds": found["value"] >= LEAST_ADVANTAGE if baseline else found["low"] > 0,
        }


def claims_of_agreement(agreements: Mapping[str, Any], judged: str) -> Iterator[dict[str, Any]]:
    """Yield what is asked of the embeddings of two scans of one person."""
    for change, by_system in agreements.items():
        low, median, high = by_system[judged]["quartiles"]
        yield {
            "asked": f"median concordance of embeddings, {change}: at least {ASKED:.2f}",
            "found": {"value": median, "low": low, "high": high},
            "holds": median >= ASKED,
        }
