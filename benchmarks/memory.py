"""Measure the memory of a training step: its peak, and its growth over 1,000 steps.

The peak is the largest resident set of a contender's process, which is printed with the share of
the imported libraries. Keras imports every backend and optional library that it finds, so the
option `--python` names environments with one backend each, as users have them. The growth is the
slope of the resident set of a small model's process over the second half of the steps: the memory
that a step leaks.
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
from benchmarks.harness import RESULTS, Contender, environment_of, json_output, machine, save_result

BACKENDS = ("tensorflow", "torch", "jax")
NATIVE, OURS = "benchmarks.contenders.torch_native", "benchmarks.contenders.ours"
SMALL = {"size": 64, "batch": 2, "objects": 8, "classes": 4}
EVERY = 10


def peaks(backends, options, steps, pythons):
    """Return one row per contender: the peak after some steps, and that of the imports alone."""
    chosen = [("native PyTorch", NATIVE, {}, "torch")]
    chosen += [(name, OURS, environment_of(name), name) for name in backends]
    rows = []
    for name, module, environment, backend in chosen:
        python = pythons.get(backend, sys.executable)
        contender = Contender(name, module, options, environment, python)
        contender.start()
        peak = contender.turn(steps)["peak_kib"] / 1024
        contender.stop()
        imports = "import torch" if module == NATIVE else "import keras"
        import_mib = _import(imports, environment, python)
        rows.append({"name": name, "peak_mib": peak, "import_mib": import_mib})
    return rows


def _import(line, environment, python):
    code = f"{line}\nfrom benchmarks.contenders.worker import peak_kib\nprint(peak_kib())"
    return json_output(["-c", code], environment, python) / 1024


def line(backend, steps):
    """Return the resident KiB before every tenth step, measured in a separate process."""
    return json_output(["-m", "benchmarks.memory", "--child", str(steps)], environment_of(backend))


def child(steps):
    """Train with one call of `fit`; print the resident set every tenth step."""
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
    """Return the slope over the second half by least squares, in KiB per step."""
    half = np.array(resident[len(resident) // 2 :], float)
    return float(np.polyfit(np.arange(len(half)) * EVERY, half, 1)[0])


def plot(lines, path):
    """Plot the resident sets over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, resident in lines.items():
        label = f"{name}: {slope(resident):+.2f} KiB per step in the second half"
        axes.plot(np.arange(len(resident)) * EVERY, np.array(resident) / 1024, label=label)
    axes.set(xlabel="training steps", ylabel="resident set, MiB")
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def main():
    """Print two tables; save the results and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", choices=BACKENDS, help="backends; all by default")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000, help="steps of the growth; 0 skips it")
    parser.add_argument("--line-only", action="store_true", help="skip the peaks")
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        help="jax=PATH: interpreter of an environment with this backend only",
    )
    args = parser.parse_args()
    if args.child:
        child(args.child)
        return
    backends = [n for n in args.only or BACKENDS if importlib.util.find_spec(n)]
    rows, lines = [], {}
    if not args.line_only:
        options = {"mode": "train", "size": args.size, "batch": args.batch}
        rows = peaks(backends, options, 3, dict(pair.split("=", 1) for pair in args.python))
        print(f"### Peak of a training step, {args.size} px, batch {args.batch}, {machine()}\n")
        print("| contender | peak MiB | ratio | imports MiB | beyond imports MiB | ratio |")
        print("|---|---|---|---|---|---|")
        base = rows[0]["peak_mib"], rows[0]["peak_mib"] - rows[0]["import_mib"]
        for row in rows:
            peak, beyond = row["peak_mib"], row["peak_mib"] - row["import_mib"]
            print(
                f"| {row['name']} | {peak:.0f} | {peak / base[0]:.2f} | {row['import_mib']:.0f} "
                f"| {beyond:.0f} | {beyond / base[1]:.2f} |"
            )
    if args.steps:
        lines = {name: line(name, args.steps) for name in backends}
        print(f"\n### Resident set over {args.steps} training steps of a small model\n")
        print("| backend | MiB at half | MiB at the end | KiB per step, second half |")
        print("|---|---|---|---|")
        for name, resident in lines.items():
            half = resident[len(resident) // 2] / 1024
            end, rise = resident[-1] / 1024, slope(resident)
            print(f"| {name} | {half:.1f} | {end:.1f} | {rise:+.2f} |")
        RESULTS.mkdir(exist_ok=True)
        plot(lines, RESULTS / "memory.png")
    save_result("memory", {"options": vars(args), "peaks": rows, "lines": lines})


if __name__ == "__main__":
    main()
