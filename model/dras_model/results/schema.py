"""Prints the JSON Schema of `result.json`; `docs/schema` keeps each published version."""

import json
import sys

from dras_model.results.study import StudyResult


def result_schema() -> str:
    """Return the schema of a result as it is written, as indented JSON."""
    return json.dumps(StudyResult.model_json_schema(mode="serialization"), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(result_schema())
