"""Studies that come image by image: kept as they come, and submitted when they are complete."""
