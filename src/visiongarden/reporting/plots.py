"""Plots of a training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from visiongarden.storage import atomic_write


def plot_history(
    history: Sequence[dict[str, float]],
    path: str | Path,
    metrics: Sequence[str] = ("AP", "AP50"),
    metrics_name: str = "COCO metrics",
) -> Path:
    """Plot the losses with their terms and the metrics over the epochs, as one PNG file.

    Args:
        history: One dict per epoch, as returned by `fit`.
        path: Path of the file.
        metrics: Names of the metrics; all other values are plotted with the loss.
        metrics_name: Name of the metrics, for the title.

    Returns:
        The path of the file.
    """
    # `Figure` instead of `pyplot`, which would select a display and keep the figure in memory.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [entry["epoch"] for entry in history]
    skipped = {"epoch", "learning_rate", "skipped_images"}
    names = list(dict.fromkeys(n for entry in history for n in entry if n not in skipped))
    for name in names:
        points = [
            (e, entry[name]) for e, entry in zip(epochs, history, strict=True) if name in entry
        ]
        axes = right if name in metrics else left
        width = 2.2 if name in ("loss", "val_loss", metrics[0]) else 1.2
        axes.plot(*zip(*points, strict=True), label=name, linewidth=width)
    is_validated = "val_loss" in names
    left.set_title(f"loss on the training {'and validation splits' if is_validated else 'split'}")
    right.set_title(f"{metrics_name} on the validation split")
    values = [v for entry in history for n, v in entry.items() if n in metrics and math.isfinite(v)]
    if all(0 <= value <= 1 for value in values):  # others are errors in pixels, degrees, ...
        right.set_ylim(0, 1)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return atomic_write(path, lambda stream: figure.savefig(stream, format="png", dpi=110))
