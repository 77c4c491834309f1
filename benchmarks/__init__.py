"""Measurements: contenders in one run, turn by turn."""
