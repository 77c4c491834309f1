"""How long 248 MB of Darknet weights take to come in, as a multiple of reading the file.

Run: python benchmarks/darknet.py yolov3.cfg. The file is in the page cache in both cases.
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


def least(call, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("cfg", type=Path)
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    steps = geometry(parse_cfg(given.cfg))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.weights"
        values = np.random.default_rng(0).random(values_of(steps), np.float32)
        path.write_bytes(Header().to_bytes() + values.tobytes())
        print(f"{path.stat().st_size / 1e6:.0f} MB")
        reading = least(path.read_bytes, given.repeats)
        model = vg.import_darknet(given.cfg, path)  # also warms the backend up
        header, mapped = read_weights(path, steps)
        weights = least(lambda: assign(model.slots, mapped, header.transposed), given.repeats)
        whole = least(lambda: vg.import_darknet(given.cfg, path), given.repeats)
    print(f"reading the bytes   {reading:.2f} s")
    print(f"weights into model  {weights:.2f} s   {weights / reading:.1f} ×")
    print(f"graph and weights   {whole:.2f} s   {whole / reading:.1f} ×")


if __name__ == "__main__":
    main()
