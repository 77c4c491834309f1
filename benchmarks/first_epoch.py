"""Measure the time until the first batch of an epoch of 100,000 images, without and with a cache.

    python benchmarks/first_epoch.py [images] [folder]

Small JPEG files (640 × 480, two boxes each) with YOLO labels are written to the folder, by default
a temporary one. "first" reads every label and image header, "again" reads them from the cache.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000


def make(folder: Path) -> None:
    raw = cv2.imencode(".jpg", np.full((480, 640, 3), 120, np.uint8))[1].tobytes()
    random = np.random.default_rng(0)
    for split, count in (("train", COUNT), ("val", 100)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            name = f"{number:06}"
            (folder / "images" / split / f"{name}.jpg").write_bytes(raw)
            lines = [
                f"{random.integers(3)} {x:.4f} {y:.4f} 0.2 0.3"
                for x, y in random.uniform(0.2, 0.8, (2, 2))
            ]
            (folder / "labels" / split / f"{name}.txt").write_text("\n".join(lines))
    names = "train: images/train\nval: images/val\nnames: [a, b, c]\n"
    (folder / "data.yaml").write_text(names)


def first_batch(folder: Path) -> float:
    from visiongarden.data import Loader, read
    from visiongarden.doctor.checking import check
    from visiongarden.tasks import find

    start = time.perf_counter()
    dataset = read(folder)
    check(dataset)
    loader = Loader(dataset, (320, 320), 16, find("detection").transforms(), shuffle=True)
    next(loader.epoch(0))
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary) / "set"
        os.environ["VISIONGARDEN_CACHE"] = f"{temporary}/cache"
        if not folder.exists():
            make(folder)
        seconds = [first_batch(folder), first_batch(folder)]
    print(json.dumps({"images": COUNT, "first_s": seconds[0], "again_s": seconds[1]}))


if __name__ == "__main__":
    main()
