"""What a tenant may be called: it becomes a folder among the blobs and a label in the audit log."""

import re

TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
