"""One study, one table: `python examples/regions.py STUDY`. A running service is named by DRAS_URL."""

import os
import sys

from dras_client import Client

with Client(os.environ.get("DRAS_URL", "http://127.0.0.1:8042")) as client:
    regions = client.submit(sys.argv[1]).wait().regions()

print(regions[["Region", "Image", "LAA950", "Perc15", "Volume"]].to_string(index=False))
