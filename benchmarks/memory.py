"""Memory of a training step: its peak beside native PyTorch's, and a line over 1,000 steps.

The peak is the largest resident set of a contender's process; what the libraries take by being
imported stands beside it. Keras imports every backend and optional library that it finds, so that
`--python` can name environments with one backend alone, as users have them. The line is the
resident set of a small model's process, whose slope over the second half is what a step leaves
behind.
"""

import argparse
import gc
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.growth import trainer_of
from benchmarks.harness import RESULTS, Contender, keep, machine, said_by

BACKENDS = ("tensorflow", "torch", "jax")
NATIVE, OURS = "benchmarks.contenders.torch_native", "benchmarks.contenders.ours"
SMALL = {"size": 64, "batch": 2, "objects": 8, "classes": 4}
EVERY = 10


def peaks(backends, options, steps, pythons):
    """One row a contender: peak of its process after some steps, and of the imports alone."""
    chosen = [("native PyTorch", NATIVE, {}, "torch")]
    chosen += [(name, OURS, {"KERAS_BACKEND": name}, name) for name in backends]
    rows = []
    for name, module, environment, backend in chosen:
        python = pythons.get(backend, sys.executable)
        contender = Contender(name, module, options, environment, python)
        contender.start()
        peak = contender.turn(steps)["peak_kib"] / 1024
        contender.stop()
        imports = "import torch" if module == NATIVE else "import keras"
        taken = _import(imports, environment, python)
        rows.append({"name": name, "peak_mib": peak, "import_mib": taken})
    return rows


def _import(line, environment, python):
    code = f"{line}\nfrom benchmarks.contenders.worker import peak_kib\nprint(peak_kib())"
    return said_by(["-c", code], environment, python) / 1024


def line(backend, steps):
    """Resident KiB before every tenth step of a process of its own."""
    return said_by(["-m", "benchmarks.memory", "--child", str(steps)], {"KERAS_BACKEND": backend})


def child(steps):
    """Trains in one `fit`, as a run does; prints the resident set as it grows."""
    import keras

    trainer, batch = trainer_of(SMALL, "AnchorFree")
    page, resident = os.sysconf("SC_PAGE_SIZE") // 1024, []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch % EVERY == 0:
                gc.collect()
                resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * page)

    batches = trainer.feed(batch for _ in range(steps))
    trainer.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[Watch()])
    print(json.dumps(resident))


def slope(resident):
    """KiB a step over the second half, by least squares."""
    half = np.array(resident[len(resident) // 2 :], float)
    return float(np.polyfit(np.arange(len(half)) * EVERY, half, 1)[0])


def plot(lines, path):
    """Draws the resident sets over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, resident in lines.items():
        label = f"{name}: {slope(resident):+.2f} KiB a step in the second half"
        axes.plot(np.arange(len(resident)) * EVERY, np.array(resident) / 1024, label=label)
    axes.set(xlabel="training steps", ylabel="resident set, MiB")
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def main():
    """Prints two tables; keeps JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", choices=BACKENDS, help="backends; all by default")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000, help="of the line; 0 leaves it out")
    parser.add_argument("--line-only", action="store_true", help="leave the peaks out")
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        help="jax=PATH: of an environment with that backend alone",
    )
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    backends = [n for n in given.only or BACKENDS if importlib.util.find_spec(n)]
    rows, lines = [], {}
    if not given.line_only:
        options = {"mode": "train", "size": given.size, "batch": given.batch}
        rows = peaks(backends, options, 3, dict(pair.split("=", 1) for pair in given.python))
        print(f"### Peak of a training step, {given.size} px, batch {given.batch}, {machine()}\n")
        print("| contender | peak MiB | ratio | imports MiB | beyond imports MiB | ratio |")
        print("|---|---|---|---|---|---|")
        base = rows[0]["peak_mib"], rows[0]["peak_mib"] - rows[0]["import_mib"]
        for row in rows:
            peak, beyond = row["peak_mib"], row["peak_mib"] - row["import_mib"]
            print(
                f"| {row['name']} | {peak:.0f} | {peak / base[0]:.2f} | {row['import_mib']:.0f} "
                f"| {beyond:.0f} | {beyond / base[1]:.2f} |"
            )
    if given.steps:
        lines = {name: line(name, given.steps) for name in backends}
        print(f"\n### Resident set over {given.steps} training steps of a small model\n")
        print("| backend | MiB at half | MiB at the end | KiB a step, second half |")
        print("|---|---|---|---|")
        for name, resident in lines.items():
            half = resident[len(resident) // 2] / 1024
            end, rise = resident[-1] / 1024, slope(resident)
            print(f"| {name} | {half:.1f} | {end:.1f} | {rise:+.2f} |")
        RESULTS.mkdir(exist_ok=True)
        plot(lines, RESULTS / "memory.png")
    keep("memory", {"options": vars(given), "peaks": rows, "lines": lines})


if __name__ == "__main__":
    main()
