"""`make starter BUNDLE=...`: puts the weights of an exported bundle into the product, and writes their model card.

The card is made of what the bundle and its evaluation say, so that it cannot say anything else.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.starter import FOLDER, Starter, pack
from dras_model.results.errors import SetupRefused
from dras_training.evaluation.document import interval

SHOWN = (
    "subtype",
    "detection",
    "severity",
    "survival",
    "dense",
    "inserted_subtype",
    "inserted_place",
    "kernel",
)
CARD = """# Model card: `{name}`

The encoder that comes with dras, so that everything works before anybody brings weights. **It was trained on
invented people and has never seen a patient.** Research use only; not for diagnosis, and no basis for a finding
about anybody.

| | |
|---|---|
| what it is | the encoder of DrasCLR (Yu et al. 2024), {experts} experts, embeddings of {width} numbers a patch |
| trained by | `dras train` of this project, recipe `{recipe}` (SHA-256 {recipe_sha256}), seed {seed} |
| recipe and log, as used | `benchmarks/results/starter` |
| trained on | {data}: {subjects} subjects, {steps} steps, {epochs:g} epochs |
| atlas | {atlas} (SHA-256 {atlas_sha256}); weights fit no other |
| licence | {licence} |
| kept as | float16 kernels, SHA-256 {weights_sha256}; a bundle is made of them on first use |
| what float16 changed | golden embeddings by at most {difference:.1e}, cosine at least {cosine:.7f} |
| told in results | `PHANTOM_TRAINED_WEIGHTS`, the band of the report, `provenance.weights` |

## What it is for

To try the product, to test an installation, to develop on top of it, to begin a training from. For a study of
patients, train on your own ([pretraining.md](pretraining.md)) or import weights that were
([model-bundle.md](model-bundle.md)). Densitometric scores need no weights and are not touched by these.

## What it is not for

Diagnosis, triage, follow-up, or any statement about a patient. Its people are drawn by code: their lungs have three
patterns of emphysema and no other disease, no nodules, no fibrosis, no artefacts, one scanner. What it does on
patients has not been measured. It is no reproduction of the paper, whose weights saw 9,179 patients.

## What it does on invented people

{figures}

The whole, with ablations and how it was judged: [evaluation.md](evaluation.md).

## What is wrong with it

{faults}
"""


def card(starter: Starter, figures: Mapping[str, Any]) -> str:
    """Return the model card, in Markdown, from what is told of the weights and from the evaluation's figures."""
    training = starter.training
    return CARD.format(
        name=starter.name,
        experts=starter.encoder.num_experts,
        width=starter.encoder.rep_dim,
        recipe=training.recipe,
        recipe_sha256=(training.recipe_sha256 or "")[:12],
        seed=training.seed,
        data=training.data,
        subjects=training.subjects,
        steps=training.steps,
        epochs=training.epochs,
        atlas=starter.atlas.name,
        atlas_sha256=starter.atlas.sha256[:12],
        licence=starter.licence,
        weights_sha256=starter.weights_sha256[:12],
        difference=starter.rounding.max_difference,
        cosine=starter.rounding.min_cosine,
        figures=_figures(figures),
        faults=_faults(figures),
    )


def _figures(figures: Mapping[str, Any]) -> str:
    judged, people = figures["judged"], figures["material"]["people"]
    others = ("LAA-950", "untrained")
    lines = [
        f"{people} invented people that it was not trained on; 95 % intervals.\n",
        f"| question | measure | these weights | {' | '.join(others)} |",
        f"|---|---|---|{'---|' * len(others)}",
    ]
    for asked in figures["questions"]:
        if asked["key"] in SHOWN:
            shown = [interval(asked["figures"][name]) for name in (judged, *others)]
            lines.append(f"| {asked['title']} | {asked['measure']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _faults(figures: Mapping[str, Any]) -> str:
    broken = [claim for claim in figures["claims"] if not claim["holds"]]
    leak = next(asked for asked in figures["questions"] if asked["key"] == "kernel")
    told = leak["figures"][figures["judged"]]["value"]
    lines = [f"- It tells a sharp kernel from a soft one with an AUC of {told:.2f}; 0.5 would be robust."]
    lines += [f"- Asked and not reached: {c['asked']}. Found: {interval(c['found'], 3)}." for c in broken]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack a bundle's weights; return an exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, help="folder that `dras train export` wrote")
    parser.add_argument(
        "--evaluation", type=Path, help="JSON of `dras train evaluate`; with it the card is written"
    )
    parser.add_argument("--card", type=Path, default=Path("docs/model-card.md"))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the product's own by default")
    asked = parser.parse_args(arguments)
    try:
        starter = pack(Bundle.load(asked.bundle), asked.folder)
    except (SetupRefused, ValueError) as refused:
        print(refused, file=sys.stderr)  # noqa: T201  a command of the Makefile, not of the product
        return 4
    if asked.evaluation is not None:
        asked.card.write_text(card(starter, json.loads(asked.evaluation.read_text("utf-8"))), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
