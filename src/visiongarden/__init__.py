"""Build a custom vision model from tested parts, prove that it is the model you meant, ship it."""
