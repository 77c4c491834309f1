"""Compare the encoding of masks as run lengths with pycocotools, in turns within one process.

`python -m benchmarks.mask_encoding` encodes 100 masks of the same objects: as bitmaps, as decoded
from prototypes, and including that decoding. The reference is `pycocotools.mask.encode` of the
bitmaps, already in the memory order that it needs. Times are processor time, which is reliable on a
busy machine, too.
"""

import argparse
import statistics
import time

import numpy as np
from pycocotools import mask as coco_mask

from benchmarks.harness import machine, save_result
from visiongarden.postprocess import masks_of
from visiongarden.samples import Masks


def detections(size, count, prototypes, seed=0):
    """Return boxes of 16 pixels to half of the image, coefficients, and smooth prototypes."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(16), np.log(size / 2), (count, 2)))
    low = rng.uniform(0, 1, (count, 2)) * (size - sides)
    y, x = np.mgrid[: size // 4, : size // 4] * (8 * np.pi / (size // 4))
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(-1, 1, (prototypes, 3))]
    return (
        np.concatenate([low, low + sides], axis=1).astype(np.float32),
        np.tanh(rng.normal(size=(count, prototypes))).astype(np.float32),
        np.maximum(np.stack(waves, axis=-1), 0).astype(np.float32),
    )


def contenders(size, count):
    """Return a function for each row of the table; the first is the reference."""
    boxes, coefficients, prototypes = detections(size, count, 32)
    decoded = masks_of(boxes, coefficients, prototypes, (size, size))
    bitmaps = decoded.bitmaps()
    ordered = np.asfortranarray(bitmaps.transpose(1, 2, 0).astype(np.uint8))
    expected = [one["counts"].decode() for one in coco_mask.encode(ordered)]
    if [one["counts"] for one in decoded.rle()] != expected:
        raise RuntimeError("the run lengths are not those of pycocotools")
    return {
        "pycocotools.mask.encode": lambda: coco_mask.encode(ordered),
        "Masks.rle, decoded masks": decoded.rle,
        "Masks.rle, from bitmaps": lambda: Masks.from_bitmaps(bitmaps).rle(),
        "masks_of, then Masks.rle": lambda: masks_of(
            boxes, coefficients, prototypes, (size, size)
        ).rle(),
    }


def measure(size, count, rounds):
    """Return milliseconds and the ratio to the reference, medians over the rounds."""
    runs = contenders(size, count)
    seconds = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    base = seconds["pycocotools.mask.encode"]
    return [
        {
            "size": size,
            "name": name,
            "ms": 1e3 * statistics.median(own),
            "ratio": statistics.median(a / b for a, b in zip(own, base, strict=True)),
        }
        for name, own in seconds.items()
    ]


def main():
    """Print a table and save the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 640])
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    rows = [row for size in options.sizes for row in measure(size, options.masks, options.rounds)]
    print(f"{options.masks} masks, {machine()}\n\n| image size | | ms | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['size']} | {row['name']} | {row['ms']:.1f} | {row['ratio']:.2f} |")
    save_result("mask_encoding", rows)


if __name__ == "__main__":
    main()
