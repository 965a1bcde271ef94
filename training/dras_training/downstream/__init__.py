"""What a trained encoder is for: outcomes of the user's own tables, from embeddings that were made before."""
