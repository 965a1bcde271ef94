"""What a finished result is found by: the mean embedding of each of its regions, read from the files it wrote."""

from pathlib import Path

from dras_model.outputs.names import FEATURES
from dras_model.results.study import StudyResult
from dras_service.store.rows import Embedding, Embeddings


def embeddings_of(out: Path, found: StudyResult) -> Embeddings | None:
    """Return the embeddings of the result in the folder `out`; None where none is comparable."""
    path, space = out / FEATURES, found.provenance.weights.bundle_sha256
    if space is None or not path.exists():
        return None
    # The imaging stack, which is loaded by now.
    from dras_model.outputs.features import read_features  # noqa: PLC0415
    from dras_model.outputs.regional_embeddings import regional_embeddings  # noqa: PLC0415

    rows = tuple(
        Embedding(each.region.value, each.n_patches, each.vector.tobytes())
        for each in regional_embeddings(read_features(path))
    )
    return Embeddings(space, rows)
