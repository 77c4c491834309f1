"""Outputs of reference implementations, computed in a separate environment."""
