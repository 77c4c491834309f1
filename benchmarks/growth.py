"""Measure how a training step grows with the image, the batch, the objects and the classes.

A small model runs complete steps, including loss and assigner, on the backend of KERAS_BACKEND;
objects and classes are varied with each type of head. Time is the minimum of the processor time
over some steps, which is reliable on a busy machine too. Memory is the peak of the resident set
during these steps. Each value runs in a separate process, or the memory of one would count for the
next.
"""

import argparse
import gc
import json
import os
import time

import numpy as np

from benchmarks.contenders.ours import batch, compiled
from benchmarks.contenders.worker import forget_peak, peak_kib
from benchmarks.harness import RESULTS, json_output, machine, save_result

HEADS = ("AnchorFree", "AnchorBased", "Decoupled")
BASE = {"size": 128, "batch": 2, "objects": 8, "classes": 4}
VALUES = {
    "size": (64, 128, 256, 384),
    "batch": (1, 4, 8, 16),
    "objects": (0, 100, 300, 1000),
    "classes": (1, 100, 300, 1000),
}
TITLES = {
    "size": "image size, pixels",
    "batch": "images per batch",
    "objects": "objects per image",
    "classes": "classes",
}


def trainer_of(options, head, eager=False):
    """Return the trainer of a small model, compiled as by `fit` or eager, and a batch."""
    import visiongarden as vg
    from visiongarden.backends.random_state import seed_everything

    seed_everything(0)
    model = vg.Detector(
        vg.backbones.DarknetTiny(width=0.25, levels=("p3", "p4", "p5")),
        vg.decoders.FPN(channels=32),
        getattr(vg.heads, head)(num_classes=options["classes"]),
        image_size=options["size"],
    )
    images, targets = batch(options)
    boxes, classes = targets["boxes"], targets["classes"]
    trainer = compiled(model, model.parts.head.loss, eager=eager)
    # Loaders pad to the largest number of objects; without objects, one row of padding remains.
    if not options["objects"]:
        boxes = np.zeros((options["batch"], 1, 4), np.float32)
        classes = np.full((options["batch"], 1), -1, np.int32)
    return trainer, (images, {"boxes": boxes, "classes": classes})


def measure(options, head, steps, eager):
    """Return the processor seconds of a step, and the peak memory during the steps in MiB."""
    trainer, example = trainer_of(options, head, eager)
    for _ in range(2):
        trainer.train_on_batch(*example)
    gc.collect()
    forget_peak()
    times = []
    for _ in range(steps):
        start = time.process_time()
        trainer.train_on_batch(*example)
        times.append(time.process_time() - start)
    return {"seconds": min(times), "mib": peak_kib() / 1024}


def measure_apart(*arguments):
    """Run `measure` in a separate process."""
    return json_output(["-m", "benchmarks.growth", "--child", json.dumps(arguments)])


def exponent(values, measured):
    """Return the log-log slope of the cost beyond the first value's.

    Values whose additional cost is below a quarter of the first one's are left out.
    """
    first = measured[0]["seconds"]
    pairs = [
        (v, f["seconds"] - first) for v, f in zip(values, measured, strict=True) if v > values[0]
    ]
    pairs = [(v, more) for v, more in pairs if more > 0.25 * first]
    if len(pairs) < 2:
        return None
    x, y = np.log(np.array(pairs)).T
    return float(np.polyfit(x, y, 1)[0])


def plot(measured, path):
    """Plot four panels: time as solid lines, memory dashed on a second axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    for axes, (name, lines) in zip(figure.subplots(2, 2).flat, measured.items(), strict=True):
        memory = axes.twinx()
        for head, points in lines.items():
            x = VALUES[name]
            rise = exponent(x, points)
            label = head if rise is None else f"{head}: exponent {rise:.2f}"
            (line,) = axes.plot(x, [1000 * t["seconds"] for t in points], "o-", label=label)
            memory.plot(x, [t["mib"] for t in points], "--", color=line.get_color(), alpha=0.5)
        # The legend is above the lines.
        axes.set(xlabel=TITLES[name], ylabel="processor ms per step")
        memory.set(ylabel="peak resident MiB (dashed)")
        for each in (axes, memory):
            each.set_ylim(0, 1.3 * each.get_ylim()[1])
        axes.legend(loc="upper left")
    figure.savefig(path, dpi=120)


def main():
    """Print a table; save the results and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if args.child:
        print(json.dumps(measure(*args.child)))
        return
    measured = {}
    print(f"### Growth of a training step, {os.environ['KERAS_BACKEND']}, {machine()}\n")
    print("| against | head | values | processor ms | peak MiB | exponent |")
    print("|---|---|---|---|---|---|")
    for name, values in VALUES.items():
        measured[name] = {}
        for head in HEADS if name in ("objects", "classes") else HEADS[:1]:
            points = [
                measure_apart(BASE | {name: value}, head, args.steps, args.eager)
                for value in values
            ]
            measured[name][head], rise = points, exponent(values, points)
            times = ", ".join(f"{1000 * point['seconds']:.0f}" for point in points)
            peaks = ", ".join(f"{point['mib']:.0f}" for point in points)
            print(
                f"| {name} | {head} | {', '.join(map(str, values))} | {times} | {peaks} "
                f"| {'' if rise is None else f'{rise:.2f}'} |",
                flush=True,
            )
    RESULTS.mkdir(exist_ok=True)
    plot(measured, RESULTS / "growth.png")
    save_result("growth", {"base": BASE, "values": VALUES, "measured": measured})


if __name__ == "__main__":
    main()
