"""Puts fitted heads into a bundle, which becomes another bundle."""

from collections.abc import Sequence
from pathlib import Path

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import with_heads
from dras_model.encoder.heads import Head
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused


def keep_heads(heads: Sequence[Head], bundle: Bundle, out: Path, *, encoder: str, name: str) -> Bundle:
    """Write a copy of `bundle` with `heads` to `out`.

    `encoder` is the SHA-256 of the graph that made the embeddings. Raises SetupRefused: HEAD_MISFIT where the
    bundle has no such graph, OUTPUT_NOT_WRITABLE.
    """
    graphs = {bundle.manifest.graph, *bundle.manifest.provider_graphs.values()}
    if encoder not in {bundle.manifest.files[form.file] for form in graphs}:
        raise SetupRefused(Code.HEAD_MISFIT, name=bundle.manifest.name)
    return with_heads(bundle, out, heads, name=name)
