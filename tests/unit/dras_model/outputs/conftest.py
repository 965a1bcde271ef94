"""A result that is complete and made of invented numbers, for outputs that only show it."""

import pytest

from dras_model.results.study import StudyResult
from unit.dras_model.stored import complete_result


@pytest.fixture(scope="session")
def result() -> StudyResult:
    """Scores are 0.1, 1.1, 2.1 and so on, in the order of regions and codes."""
    return complete_result()
