"""Measure start-up: import, help, and one image in a cold and in a warm process.

Processor time (user and system, of the process and its children) is given beside wall-clock time:
the former is reliable on a busy machine too, the latter is what the user waits for.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import ROOT, machine, save_result, use_compiled_modules

BACKENDS = ("tensorflow", "torch", "jax")
SIZE = 640

MAKE = """
import cv2, numpy as np, sys
from benchmarks.contenders import ours, plain_keras
import keras
folder, size = sys.argv[1], int(sys.argv[2])
model = ours.detector({"size": size})
model.save(folder + "/ours.keras")
plain = plain_keras.build(0.33, 0.25, 80, size)
assert plain.count_params() == model.count_params()
plain.save(folder + "/plain.keras")
pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
cv2.imwrite(folder + "/image.png", pixels)
"""
BARE = "import sys, keras; keras.saving.load_model(sys.argv[1])"
WARM = """
import keras, sys, time, json
begun, core = time.perf_counter(), time.process_time()
import visiongarden as vg
model = vg.load(sys.argv[1])
list(vg.predict(model, [sys.argv[2]]))
first = {"wall": time.perf_counter() - begun, "core": time.process_time() - core}
begun, core = time.perf_counter(), time.process_time()
list(vg.predict(model, [sys.argv[2]]))
second = {"wall": time.perf_counter() - begun, "core": time.process_time() - core}
print(json.dumps({"warm": first, "second image": second}))
"""


def process(arguments, backend):
    """Run a process; return its wall-clock and processor seconds, and its output."""
    use_compiled_modules()
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "src"), environment.get("PYTHONPATH", "")]
    )
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{arguments}: {done.stderr[-2000:]}")
    core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "core": core}, done.stdout


def measure(rounds, backends, folder):
    """Return name -> list of {"wall", "core"}; the contenders run in turns."""
    process(["-c", MAKE, folder, SIZE], backends[0])
    model, plain, image = (folder / name for name in ("ours.keras", "plain.keras", "image.png"))
    measured = {}
    for number in range(-1, rounds):  # the first round fills the disk cache
        for name, arguments in (
            ("import visiongarden", ["-c", "import visiongarden"]),
            ("visiongarden --help", ["-m", "visiongarden", "--help"]),
        ):
            measured.setdefault(name, []).append(process(arguments, backends[0])[0])
        for backend in backends:
            cold = ["-m", "visiongarden", "predict", model, image, "--output", folder / "out"]
            times, _ = process(["-c", BARE, plain], backend)
            measured.setdefault(f"{backend}: Keras's import and load", []).append(times)
            times, _ = process(cold, backend)
            measured.setdefault(f"{backend}: predict, cold", []).append(times)
            _, output = process(["-c", WARM, model, image], backend)
            for name, times in json.loads(output).items():
                measured.setdefault(f"{backend}: {name}", []).append(times)
        print(f"round {number + 1}/{rounds}", file=sys.stderr, flush=True)
    return {name: turns[1:] for name, turns in measured.items()}


def limit_of(name):
    """Return the limit of a row, in seconds or as a ratio."""
    fixed = {"import visiongarden": "0.3 s", "visiongarden --help": "0.5 s"}
    if name.endswith("cold"):
        return "ratio 1.3"
    return "2 s" if name.endswith("warm") else fixed.get(name, "")


def row(name, measured):
    """Return a row: medians, spreads, and the median of the pairwise ratios to Keras alone."""
    turns = measured[name]
    cells = []
    for unit in ("core", "wall"):
        values = [turn[unit] for turn in turns]
        median = statistics.median(values)
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        cells += [f"{median:.2f}", f"±{(high - low) / 2 / median:.0%}"]
        base = measured.get(name.split(":")[0] + ": Keras's import and load")
        ratios = [a[unit] / b[unit] for a, b in zip(turns, base or [], strict=False)]
        cells.append(f"{statistics.median(ratios):.2f}" if name.endswith("cold") else "")
    return f"| {name} | " + " | ".join(cells) + f" | {limit_of(name)} |"


def main():
    """Print a table and save the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=BACKENDS, help="backends; all by default")
    args = parser.parse_args()
    backends = [
        name
        for name in BACKENDS
        if importlib.util.find_spec(name) and (not args.only or name in args.only)
    ]
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(args.rounds, backends, Path(folder))
    print(f"### Start-up, one image of {SIZE} × {SIZE}, {machine()}\n")
    print("| measured | processor s | spread | ratio | wall-clock s | spread | ratio | limit |")
    print("|---|---|---|---|---|---|---|---|")
    for name in measured:
        print(row(name, measured))
    save_result("startup", measured)


if __name__ == "__main__":
    main()
