"""Many studies at once, one table: `python examples/batch.py OUT.csv STUDY…`.

Four uploads go out at a time; the service computes as it can. A study that is refused is a row with its code, and
one that was computed before is not computed again, so that a run that was broken off is simply run again.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

import pandas as pd

from dras_client import AsyncClient, JobFailed, StudyRejected, UploadRefused

AT_ONCE = 4


async def regions_of(client: AsyncClient, study: str, turnstile: asyncio.Semaphore) -> pd.DataFrame:
    """Return the regions of one study; one row with a code where there are none."""
    try:
        async with turnstile:
            job = await client.submit(study)
        await job.wait()
        return (await job.regions()).assign(study=study, code="")
    except (StudyRejected, JobFailed, UploadRefused) as error:
        return pd.DataFrame({"study": [study], "code": [error.study_code or error.code]})


async def main(out: str, studies: Sequence[str]) -> None:
    """Write one table of all studies."""
    turnstile = asyncio.Semaphore(AT_ONCE)
    async with AsyncClient(os.environ.get("DRAS_URL", "http://127.0.0.1:8042")) as client:
        tables = await asyncio.gather(*(regions_of(client, study, turnstile) for study in studies))
    pd.concat(tables, ignore_index=True).to_csv(out, index=False)


asyncio.run(main(sys.argv[1], sys.argv[2:]))
