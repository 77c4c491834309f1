"""Compound scaling of an architecture by depth and width (Tan & Le 2019)."""

from __future__ import annotations


def scaled_channels(channels: int, width: float, max_channels: int | None = None) -> int:
    """Scale a number of channels by `width`.

    Args:
        channels: number of channels in the architecture table.
        width: factor.
        max_channels: upper bound, applied before scaling.

    Returns:
        The scaled number, rounded up to a multiple of 8.
    """
    bounded = channels if max_channels is None else min(channels, max_channels)
    return max(8, -(-int(bounded * width) // 8) * 8)


def scaled_repeats(repeats: int, depth: float) -> int:
    """Scale a number of repeats by `depth`, rounded, at least 1."""
    return max(round(repeats * depth), 1)
