"""Puts fitted heads into a bundle, which becomes another bundle; says beforehand which it could not name."""

from collections.abc import Sequence
from pathlib import Path

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import with_heads
from dras_model.encoder.heads import MOST_OUTCOME, Head
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream.outcomes import Table
from dras_training.downstream.probe import name_of


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
