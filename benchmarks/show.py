"""Measure `show` with its HTML page for the largest model: it should take under 3 s."""

from __future__ import annotations

import time

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.inspect import show


def main() -> None:
    with weightless():
        model = vg.Detector(
            vg.backbones.CSPDarknet(depth=1.0, width=1.25, max_channels=512),
            vg.decoders.PathAggregation(depth=1.0),
            vg.heads.AnchorFree(num_classes=80),
        )
    for call in ("first", "second"):
        start, core = time.perf_counter(), time.process_time()
        figure = show(model, 640)
        page = figure.html()
        print(
            f"{call}: {time.perf_counter() - start:.2f} s, {time.process_time() - core:.2f} s of "
            f"one core, {figure.count.total:,} parameters, page {len(page):,} characters"
        )


if __name__ == "__main__":
    main()
