import pytest

from dras_model.outputs.stored import StoredResult
from dras_model.results.study import LOBES, StudyResult
from unit.dras_model.outputs.report.printing import prepared


@pytest.fixture
def told(result: StudyResult) -> StudyResult:
    """The invented result without lobes, as most are."""
    return result.model_copy(update={"scores": tuple(s for s in result.scores if s.region not in LOBES)})


@pytest.fixture
def ready(told: StudyResult, tmp_path) -> StoredResult:
    return prepared(tmp_path, told)
