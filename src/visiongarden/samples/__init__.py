"""Images and their annotations as NumPy values; starts no backend."""
