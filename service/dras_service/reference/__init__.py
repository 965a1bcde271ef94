"""Pages of `docs/` that are printed from the code: settings, addresses, codes. Tests hold them against it."""
