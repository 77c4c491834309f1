"""Measure the import of 248 MB of Darknet weights, as a multiple of reading the file.

    python benchmarks/darknet.py yolov3.cfg

The file is in the page cache in both cases.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import visiongarden as vg
from visiongarden.darknet import parse_cfg
from visiongarden.darknet.geometry import geometry, values_of
from visiongarden.darknet.weights import Header, assign, read_weights


def min_seconds(call, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cfg", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    steps = geometry(parse_cfg(args.cfg))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.weights"
        values = np.random.default_rng(0).random(values_of(steps), np.float32)
        path.write_bytes(Header().to_bytes() + values.tobytes())
        print(f"{path.stat().st_size / 1e6:.0f} MB")
        reading = min_seconds(path.read_bytes, args.repeats)
        model = vg.import_darknet(args.cfg, path)  # also warms up the backend
        header, mapped = read_weights(path, steps)
        weights = min_seconds(lambda: assign(model.slots, mapped, header.transposed), args.repeats)
        whole = min_seconds(lambda: vg.import_darknet(args.cfg, path), args.repeats)
    print(f"reading the bytes   {reading:.2f} s")
    print(f"weights into model  {weights:.2f} s   {weights / reading:.1f} ×")
    print(f"graph and weights   {whole:.2f} s   {whole / reading:.1f} ×")


if __name__ == "__main__":
    main()
