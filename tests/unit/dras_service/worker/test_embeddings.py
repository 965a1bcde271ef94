from array import array

import pytest

from dras_model.outputs.features import write_features
from dras_service.worker.embeddings import embeddings_of
from unit.dras_model.outputs.invented import features
from unit.dras_service.examples import study_result


def result_of(bundle_sha256):
    result = study_result()
    weights = result.provenance.weights.model_copy(update={"bundle_sha256": bundle_sha256})
    return result.model_copy(update={"provenance": result.provenance.model_copy(update={"weights": weights})})


def test_a_result_is_found_by_its_regions_within_its_bundle(tmp_path):
    write_features(tmp_path / "features.npz", features())
    found = embeddings_of(tmp_path, result_of("f" * 64))
    assert found.space == "f" * 64
    assert {"whole", "right", "left"} <= {each.region for each in found.regions}
    for each in found.regions:
        assert sum(number**2 for number in array("f", each.vector)) == pytest.approx(1.0, abs=1e-5)


def test_a_result_without_features_or_without_a_known_bundle_is_found_by_nothing(tmp_path):
    assert embeddings_of(tmp_path, result_of("f" * 64)) is None
    write_features(tmp_path / "features.npz", features())
    assert embeddings_of(tmp_path, result_of(None)) is None
