"""Which studies are alike: `python examples/similar.py STUDY…` compares the first with all that the service has."""

import os
import sys

from dras_client import Client, Region

with Client(os.environ.get("DRAS_URL", "http://127.0.0.1:8042")) as client:
    jobs = [client.submit(study) for study in sys.argv[1:]]
    for job in jobs:
        job.wait()
    for region in (Region.WHOLE, Region.RIGHT_APICAL, Region.LEFT_BASAL):
        found = jobs[0].similar(region=region, limit=3)
        print(f"{region}: {found.n_compared} compared, weights {found.training}")
        for near in found.neighbours:
            print(f"  {near.similarity:.4f}  job {near.job_id}")
