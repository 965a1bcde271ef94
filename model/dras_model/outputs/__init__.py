"""What a result is written as: JSON, tables, arrays, NIfTI, pictures."""
