"""Outputs of reference implementations, computed in an environment of their own."""
