"""How weights are made and judged."""
