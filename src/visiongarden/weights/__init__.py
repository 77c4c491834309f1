"""Weights from elsewhere, and weights by name."""
