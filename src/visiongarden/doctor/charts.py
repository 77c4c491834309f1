"""Render distributions of a dataset as SVG figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from visiongarden.markup import safe
from visiongarden.types import ImageSize

_MAX_BARS = 40


def caption(text: str) -> str:
    """Return the caption of a figure."""
    return f"<figcaption>{safe(text)}</figcaption>"


def bars(title: str, counts: Mapping[str, Mapping[str, int]]) -> str:
    """Render one horizontal bar for each class, divided into the splits.

    Args:
        title: title of the figure.
        counts: number of labels by split and class. Of more than 40 classes, the 20 largest and the
            20 smallest are shown.
    """
    names = list(dict.fromkeys(name for per_class in counts.values() for name in per_class))
    totals = {name: sum(per_class.get(name, 0) for per_class in counts.values()) for name in names}
    order = sorted(names, key=lambda name: -totals[name])
    half = _MAX_BARS // 2
    cut = len(order) > _MAX_BARS
    names = [*order[:half], *order[-half:]] if cut else names
    largest, total = max([*totals.values(), 1]), max(sum(totals.values()), 1)
    parts = []
    for row, name in enumerate(names):
        y, x = 4 + 15 * row, 100.0
        parts.append(f'<text x="96" y="{y + 10}" text-anchor="end">{safe(_short(name))}</text>')
        for number, (split, per_class) in enumerate(counts.items()):
            bar_width = 150 * per_class.get(name, 0) / largest
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{bar_width:.2f}" height="12" '
                f'fill-opacity="{max(1 - 0.35 * number, 0.2):.2f}"><title>{safe(split)} '
                f"{safe(name)}: {per_class.get(name, 0):,}</title></rect>"
            )
            x += bar_width
        share = 100 * totals[name] / total
        parts.append(f'<text x="{x + 4:.1f}" y="{y + 10}">{totals[name]:,} ({share:.2g} %)</text>')
    of = f" (the largest and the smallest of {len(order):,})" if cut else ""
    text = f"{title}{of}; darkest to lightest: {', '.join(counts)}"
    height = 15 * len(names) + 8
    return f'<figure><svg viewBox="0 0 340 {height}">{"".join(parts)}</svg>{caption(text)}</figure>'


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


def sizes(counts: Mapping[str, Counter[ImageSize]]) -> Iterator[str]:
    """Yield histograms of the shorter sides and aspect ratios of all images.

    Args:
        counts: number of images of each (height, width) in each split.
    """
    pairs = Counter[ImageSize]()
    for split_sizes in counts.values():
        pairs.update(split_sizes)
    if not pairs:
        return
    height, width = np.array(list(pairs), np.float64).T
    times = list(pairs.values())
    marks = [0, 16, 32, 64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 1e6]
    yield histogram("shorter side in pixels", np.repeat(np.minimum(height, width), times), marks)
    marks = [0, 1 / 4, 1 / 2, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2, 4, 1e6]
    yield histogram("aspect ratio (width / height)", np.repeat(width / height, times), marks)


def steps(counts: np.ndarray) -> list[float]:
    """Return about fourteen bin edges from 0 for a histogram of integers."""
    end = int(counts.max(initial=0)) + 1
    step = max(-(-end // 14), 1)
    return [float(v) for v in range(0, end + step, step)]


def histogram(title: str, values: np.ndarray, marks: Sequence[float]) -> str:
    """Render a histogram.

    Args:
        title: title of the figure.
        values: the values to count.
        marks: edges of the bins in ascending order; the last bin includes its upper edge.
    """
    counts, _ = np.histogram(values, bins=np.asarray(marks, np.float64))
    width, height, highest = 320 / len(counts), 120, max(int(counts.max()), 1)
    parts = []
    for i, count in enumerate(counts.tolist()):
        bar_height = height * count / highest
        x, y = 10 + i * width, 140 - bar_height
        label = f"{marks[i]:.3g} to {marks[i + 1]:.3g}: {count:,}"
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width - 2, 1):.1f}" '
            f'height="{bar_height:.1f}">'
            f"<title>{label}</title></rect>"
        )
        if i % 2 == 0:
            parts.append(f'<text x="{x:.1f}" y="154">{_mark(marks[i])}</text>')
    summary = f"total {len(values):,}, largest bin {highest:,}"
    text = f'<text x="330" y="14" text-anchor="end">{summary}</text>'
    return (
        f'<figure><svg viewBox="0 0 340 160">{"".join(parts)}{text}</svg>{caption(title)}</figure>'
    )


def _mark(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def heat(title: str, centers: np.ndarray) -> str:
    """Render a heat map of positions.

    Args:
        title: title of the figure.
        centers: (n, 2), x and y as fractions of the image sides.
    """
    counts, _, _ = np.histogram2d(
        centers[:, 1].clip(0, 1), centers[:, 0].clip(0, 1), bins=(12, 24), range=((0, 1), (0, 1))
    )
    highest = max(counts.max(), 1)
    cells = "".join(
        f'<rect x="{10 + 13.3 * x:.1f}" y="{4 + 12 * y:.1f}" width="13.4" height="12.1" '
        f'fill-opacity="{0.05 + 0.95 * counts[y, x] / highest:.3f}"/>'
        for y in range(12)
        for x in range(24)
    )
    return f'<figure><svg viewBox="0 0 340 160">{cells}</svg>{caption(title)}</figure>'
