"""Compare reading of 60 million parameters with the libraries' own readers, and with `np.load`.

    python benchmarks/transfer.py [--rounds 5]

`read` opens a checkpoint and reads every array; safetensors' `load_file` and PyTorch's `torch.load`
do the same with the same file. `transfer` copies the weights of a `.keras` file into a model.

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

import visiongarden as vg  # first, so that TensorFlow uses oneDNN

# isort: split
import keras
import numpy as np

from visiongarden.weights import transfer
from visiongarden.weights.sources import open_source


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


def read_all(path: Path) -> float:
    """Open a checkpoint and read its arrays; the sum touches every page of the mapped file."""
    with open_source(path) as source:
        source.verify()
        return float(sum(np.sum(stored.read()) for stored in source.weights))


def by_safetensors(path: Path) -> float:
    from safetensors.numpy import load_file

    return float(sum(np.sum(array) for array in load_file(path).values()))


def by_torch(path: Path) -> float:
    import torch

    state = torch.load(path, weights_only=True)
    return float(sum(np.sum(tensor.numpy()) for tensor in state.values()))


def checkpoints(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays as safetensors and as a state dict of PyTorch."""
    import torch
    from safetensors.numpy import save_file

    named = {name.replace("/", "."): np.ascontiguousarray(a) for name, a in arrays.items()}
    save_file(named, folder / "m.safetensors")
    torch.save({n: torch.from_numpy(a.copy()) for n, a in named.items()}, folder / "m.pth")


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
        checkpoints(folder, arrays)
        size = sum(array.nbytes for array in arrays.values())
        del arrays
        actions: dict[str, Callable[[], Any]] = {
            "np.load .npy": lambda: np.load(folder / "m.npy"),
            "np.load .npz": lambda: load_all(folder / "m.npz"),
            "safetensors": lambda: by_safetensors(folder / "m.safetensors"),
            "read .safetensors": lambda: read_all(folder / "m.safetensors"),
            "torch.load": lambda: by_torch(folder / "m.pth"),
            "read .pth": lambda: read_all(folder / "m.pth"),
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
        print(f"{name:17} {seconds:.3f} s  {speed}, {used:.3f} s processor time")
    for ours, name in (
        ("transfer", "np.load .npy"),
        ("transfer", "np.load .npz"),
        ("read .safetensors", "safetensors"),
        ("read .pth", "torch.load"),
    ):
        clock, used = (mine / its for mine, its in zip(best[ours], best[name], strict=True))
        print(f"{ours} / {name}: {clock:.2f} wall-clock time, {used:.2f} processor time")


if __name__ == "__main__":
    main()
