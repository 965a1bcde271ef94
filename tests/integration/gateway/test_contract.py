"""The gateway against its own OpenAPI document, by schemathesis: every check, over a real socket, with a key.

`DRAS_CONTRACT_EXAMPLES` sets how many requests an operation gets in each phase; a deep run (`make contract`) takes
hundreds.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dras_service.settings import GatewaySettings, WebhookSettings
from integration.gateway.standing import Standing
from unit.dras_service.examples import bundle_view, claim_of, study_result

EXAMPLES = int(os.environ.get("DRAS_CONTRACT_EXAMPLES", "3"))
# Streams must end for a request to end.
LIMITS = GatewaySettings(
    rate_per_minute=10**9,
    rate_burst=10**9,
    stream_limit_s=0.05,
    max_validations=8,
    webhooks=WebhookSettings(allow=("example.org",), most_per_tenant=10**6),
)
# Of the ids that are made up, some must lead to a job that has a result.
HOOKS = """
import json

import schemathesis

JOB = {job_id!r}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters and "job_id" in path_parameters and context.operation.method.upper() in ("GET", "HEAD"):
        if len(path_parameters["job_id"]) % 2:
            path_parameters["job_id"] = JOB
        if "name" in path_parameters and len(path_parameters["name"]) % 2:
            path_parameters["name"] = "regions.csv"
    return path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    # Schemathesis 4.32 writes the JSON of a parameter with `content` twice when it fills an example up.
    limits = (case.query or {{}}).get("limits")
    if isinstance(limits, str) and limits.startswith('"'):
        case.query["limits"] = json.loads(limits)
"""


# What no document can say: that a key belongs to one request, which bundles are offered, that one part has content.
SETTINGS = """
[[operations]]
include-path = ["/v1/studies", "/v1/validate"]

[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "409", "422", "429", "503"]
"""


@pytest.fixture
def locked(memory_folder):
    gateway = Standing(memory_folder / "data", LIMITS, locked=True)
    yield gateway
    gateway.end()


def finished_job(gateway):
    claim = claim_of(gateway.store)
    with gateway.blobs.workspace(claim) as room:
        (room / "out").mkdir()
        (room / "out" / "regions.csv").write_text("region,laa\n")
        outputs = gateway.blobs.keep_outputs(room / "out", claim)
    gateway.store.leases.commit(claim, study_result(), outputs=outputs)
    return claim.job_id


@pytest.mark.slow
def test_every_answer_keeps_what_the_document_promises(locked, tmp_path):
    locked.store.bundles.offer((bundle_view("drasclr", is_default=True),))
    hooks = Path(tmp_path, "contract_hooks.py")
    Path(tmp_path, "schemathesis.toml").write_text(SETTINGS)
    hooks.write_text(HOOKS.format(job_id=finished_job(locked)))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{locked.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {locked.key()}"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--no-color", "--request-timeout", "60"),
            # Of the bodies that it makes for /v1/validate it must leave many aside itself.
            *("--suppress-health-check", "filter_too_much"),
            *("--max-response-time", "60"),  # none is promised here; the machine may be busy
        ],
        capture_output=True,
        text=True,
        timeout=3600,
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "contract_hooks", "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    Path(tmp_path, "report.txt").write_text(done.stdout)  # says how many cases there were
    assert done.returncode == 0, done.stdout[-20_000:]
