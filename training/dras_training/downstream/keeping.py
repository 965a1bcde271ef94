"""Puts what was fitted into a bundle, which becomes another bundle: heads, or an encoder that was trained on too.

Says beforehand which outcomes it could not name.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_bundle, with_heads
from dras_model.encoder.heads import EVERYWHERE, MOST_OUTCOME, Head
from dras_model.encoder.manifest import Trained
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream import judging
from dras_training.downstream.efficiency import Curve
from dras_training.downstream.finetune import Tuned
from dras_training.downstream.fitting import Fit, FitKind
from dras_training.downstream.judging import Numbers
from dras_training.downstream.outcomes import Table
from dras_training.downstream.probe import Judged, Pooled, as_head, name_of, targets_of
from dras_training.export import require_same

NOT_POOLED = -1  # group of a location that a vector leaves out


def require_names(table: Table, outcomes: Sequence[str]) -> None:
    """Refuse `outcomes` of a table whose heads would have no name, or one. Raises SetupRefused TABLE_INVALID."""
    by_name: dict[str, str] = {}
    for outcome in outcomes:
        if not 1 <= len(outcome) <= MOST_OUTCOME:
            limit = f"1 to {MOST_OUTCOME} characters"
            raise table.refused(
                f"a head is kept of an outcome, and its class, of {limit}, not of {len(outcome)}"
            )
        other = by_name.setdefault(name_of(outcome), outcome)
        if other != outcome:
            raise table.refused(
                f"{other} and {outcome} would both be the head {name_of(outcome)}; rename one"
            )


def keep_heads(heads: Sequence[Head], bundle: Bundle, out: Path, *, encoder: str, name: str) -> Bundle:
    """Write a copy of `bundle` with `heads` to `out`.

    `encoder` is the SHA-256 of the graph that made the embeddings. Raises SetupRefused: HEAD_MISFIT where the
    bundle has no such graph, OUTPUT_NOT_WRITABLE.
    """
    graphs = {bundle.manifest.graph, *bundle.manifest.provider_graphs.values()}
    if encoder not in {bundle.manifest.files[form.file] for form in graphs}:
        raise SetupRefused(Code.HEAD_MISFIT, name=bundle.manifest.name)
    return with_heads(bundle, out, heads, name=name)


def keep_tuned(curve: Curve, bundle: Bundle, out: Path, *, cohort: str, unit: str, name: str) -> Bundle:
    """Train `bundle`'s encoder on for all labels of a curve, as its first draw does, and write it with its heads.

    Nobody who is judged on is learnt from. The heads of `bundle` stay behind: its embeddings are not these.
    Raises SetupRefused: OUTPUT_NOT_WRITABLE, EXPORT_DIFFERS.
    """
    patients, learners = curve.patients, curve.split.learners
    tuned = curve.tuned("pretrained", len(learners), 0)
    weights, course = tuned.network.cpu().to_weights(), patients.course
    manifest, outcome = bundle.manifest, patients.outcome.name
    trained = Trained(
        data=f"{outcome} of {cohort}, from {manifest.name} ({manifest.training.summary})",
        epochs=round(course.steps * course.people / len(learners), 3),
        seed=course.seed,
        steps=course.steps,
        subjects=len(learners),
        store_sha256=patients.store.sha256,
    )
    heads = _heads(curve, tuned, cohort=cohort, unit=unit)
    with tempfile.TemporaryDirectory(prefix="dras-tuned-") as folder:
        plain = create_bundle(
            Path(folder, "bundle"),
            weights,
            patients.atlas,
            name=name,
            training=trained,
            licence=manifest.licence,
        )
        require_same(plain, weights, patients.store, patients.atlas)
        return with_heads(plain, out, heads, name=name)


def _heads(curve: Curve, tuned: Tuned, *, cohort: str, unit: str) -> list[Head]:
    patients, split = curve.patients, curve.split
    answers = patients.answers(tuned, split.judged)
    centre = np.nanmean(patients.vectors(tuned.network, split.learners), axis=0)
    groups = np.full(len(patients.atlas.corners), NOT_POOLED, dtype=np.int64)
    groups[patients.places] = EVERYWHERE
    made = []
    for k, (target, values) in enumerate(targets_of(patients.outcome)):
        observed = values[split.judged]
        found = _judged(target, patients.kind, observed, answers[:, k], learnt=values[split.learners])
        fitted = tuned.heads[k]
        moved = Fit(centre, fitted.weights, float(fitted(centre[np.newaxis])[0]))
        made.append(
            as_head(
                (Pooled(groups), moved),
                patients.kind,
                found,
                outcome=target,
                cohort=cohort,
                unit=unit if patients.kind == "regression" else "probability",
            )
        )
    return made


def _judged(target: str, kind: FitKind, observed: Numbers, answers: Numbers, *, learnt: Numbers) -> Judged:
    """Return how good answers are for the people who are judged on; counts are of those who were learnt from."""
    if kind == "regression":
        measure, calibration = judging.explained, judging.calibration_of_numbers(observed, answers)
    else:
        chance = 1.0 / (1.0 + np.exp(-answers))
        measure, calibration = judging.ranked, judging.calibration_of_probabilities(observed, chance)
    return Judged(
        target=target,
        pooling="mean",
        measure="R²" if kind == "regression" else "AUC",
        performance=judging.interval(measure, observed, answers),
        calibration=calibration,
        n=len(learnt),
        n_events=None if kind == "regression" else int(learnt.sum()),
        predicted=answers,
    )
