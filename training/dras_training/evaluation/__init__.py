"""What weights are worth: held against LAA-950, untrained weights and ablations, on people they have not seen."""
