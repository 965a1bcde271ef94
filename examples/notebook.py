"""A notebook as a script: editors run its cells, which begin with `# %%`, one by one; STUDY and DRAS_URL are named.

The last expression of a cell shows itself: a job with its progress, a result with its warnings first, a table.
"""

# %%
import os

from dras_client import Client

client = Client(os.environ.get("DRAS_URL", "http://127.0.0.1:8042"))
job = client.submit(os.environ["STUDY"])
job

# %% What happens to it; a stream that breaks goes on where it broke.
for event in job.events():
    print(f"{event.state:<24} {event.progress:.0%}")

# %% The result: the notice, every warning, the scores by region
result = job.wait().result()
result

# %% One score, with what it is and what may be wrong with it
result.score("LAA-950insp", "right")

# %% The patches: embeddings and densitometry, row by row
features = job.features()
embeddings = features.embeddings[features.valid]
laa950 = features.more["laa950"][features.valid]
features

# %% The patches with the most emphysema, of those that can be used
patches = job.patches()
patches[patches.valid].nlargest(5, "laa950")

# %%
client.close()
