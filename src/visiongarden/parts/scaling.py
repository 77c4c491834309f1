"""Scaling of a family's sizes by a depth and a width (Tan & Le 2019 call it compound scaling)."""

from __future__ import annotations


def scaled_channels(channels: int, width: float, most: int | None = None) -> int:
    """Channels after scaling: at most `most`, times `width`, rounded up to a multiple of 8."""
    bounded = channels if most is None else min(channels, most)
    return max(8, -(-int(bounded * width) // 8) * 8)


def scaled_repeats(repeats: int, depth: float) -> int:
    """Repeats after scaling: times `depth`, rounded, at least 1."""
    return max(round(repeats * depth), 1)
