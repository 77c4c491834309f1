"""Compare `transfer` of 60 million parameters with `np.load` of the same bytes.

    python benchmarks/transfer.py [--rounds 5]

All files are in the page cache, and the contenders run in turns. Printed are the best round of
each, which is the least disturbed by other work on the machine, the processor time, and the ratios.
`np.load` of a single array is the bare cost of the bytes; of an archive (.npz) it reads name by
name and verifies checksums, as the transfer does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import visiongarden as vg
from visiongarden.weights import transfer


def model() -> vg.Detector:
    """Return YOLOv3 for 80 classes: 62 million parameters, 438 weights."""
    return vg.Detector(
        vg.backbones.Darknet53(), vg.decoders.YOLOv3Decoder(), vg.heads.AnchorBased(num_classes=80)
    )


def timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Return the wall-clock seconds, and the processor seconds of all threads."""
    start, used = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - used


def load_all(path: Path) -> list[np.ndarray]:
    with np.load(path) as archive:
        return [archive[name] for name in archive.files]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder, target = Path(name), model()
        target.save(folder / "m.keras")
        arrays = {w.path: keras.ops.convert_to_numpy(w.value) for w in target.weights}
        np.savez(folder / "m.npz", **arrays)
        np.save(folder / "m.npy", np.concatenate([array.ravel() for array in arrays.values()]))
        size = sum(array.nbytes for array in arrays.values())
        del arrays
        actions: dict[str, Callable[[], Any]] = {
            "np.load .npy": lambda: np.load(folder / "m.npy"),
            "np.load .npz": lambda: load_all(folder / "m.npz"),
            "transfer": lambda: transfer(
                folder / "m.keras", target, min_coverage=1.0, class_rows="position"
            ),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
        for _ in range(rounds + 1):
            for name, action in actions.items():
                times[name].append(timed(action))
    print(f"{size / 1e6:.0f} MB, backend {keras.backend.backend()}, {rounds} rounds")
    best = {name: tuple(map(min, zip(*v[1:], strict=True))) for name, v in times.items()}
    for name, (seconds, used) in best.items():
        speed = f"{size / seconds / 1e9:.1f} GB/s"
        print(f"{name:14} {seconds:.3f} s  {speed}, {used:.3f} s processor time")
    for name in ("np.load .npy", "np.load .npz"):
        clock, used = (mine / its for mine, its in zip(best["transfer"], best[name], strict=True))
        print(f"transfer / {name}: {clock:.2f} wall-clock time, {used:.2f} processor time")


if __name__ == "__main__":
    main()
