"""Prints the JSON Schema of a document by its name; `docs/schema` keeps each published version."""

import json
import sys
from collections.abc import Mapping
from types import MappingProxyType

from dras_model.results.comparison import ComparisonResult
from dras_model.results.pair import PairResult
from dras_model.results.study import Record, StudyResult

DOCUMENTS: Mapping[str, type[Record]] = MappingProxyType(
    {"result": StudyResult, "pair": PairResult, "comparison": ComparisonResult}
)


def result_schema(document: str = "result") -> str:
    """Return the schema of a document as it is written, as indented JSON; KeyError for another name."""
    return json.dumps(DOCUMENTS[document].model_json_schema(mode="serialization"), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(result_schema(*sys.argv[1:2]))
