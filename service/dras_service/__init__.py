"""How studies come in and results go out."""
