"""How a training step's time and memory grow: image, batch, objects of an image, classes.

A small model, the whole step (loss and assigner included), on the backend that KERAS_BACKEND names;
objects and classes with each kind of head. Time is the processor's, the least of some steps, so
that it holds on a busy machine; memory is the peak of the resident set during these steps, in a
process of its own for each value, since what one leaves behind would count for the next.
"""

import argparse
import gc
import json
import os
import time

import numpy as np

from benchmarks.contenders.ours import batch, compiled
from benchmarks.contenders.worker import forget_peak, peak_kib
from benchmarks.harness import RESULTS, keep, machine, said_by

HEADS = ("AnchorFree", "AnchorBased", "Decoupled")
BASE = {"size": 128, "batch": 2, "objects": 8, "classes": 4}
VALUES = {
    "size": (64, 128, 256, 384),
    "batch": (1, 4, 8, 16),
    "objects": (0, 100, 300, 1000),
    "classes": (1, 100, 300, 1000),
}
TITLES = {
    "size": "side of the image, pixels",
    "batch": "images a batch",
    "objects": "objects an image",
    "classes": "classes",
}


def trainer_of(options, head, eager=False):
    """A small model's trainer, as `fit` compiles it, or operation by operation; and a batch."""
    import visiongarden as vg
    from visiongarden.backends.keras_internals import seed_everything

    seed_everything(0)
    model = vg.Detector(
        vg.backbones.DarknetTiny(width=0.25, levels=("p3", "p4", "p5")),
        vg.decoders.FPN(channels=32),
        getattr(vg.heads, head)(num_classes=options["classes"]),
        image_size=options["size"],
    )
    images, boxes, classes = batch(options)
    trainer = compiled(model, model.parts.head.loss(), eager=eager)
    # Keras's loaders pad to the most objects there are; none is one row of padding.
    if not options["objects"]:
        boxes = np.zeros((options["batch"], 1, 4), np.float32)
        classes = np.full((options["batch"], 1), -1, np.int32)
    return trainer, (images, {"boxes": boxes, "classes": classes})


def measure(options, head, steps, eager):
    """Processor seconds of a step, and MiB that the process held at most during the steps."""
    trainer, given = trainer_of(options, head, eager)
    for _ in range(2):
        trainer.train_on_batch(*given)
    gc.collect()
    forget_peak()
    times = []
    for _ in range(steps):
        begun = time.process_time()
        trainer.train_on_batch(*given)
        times.append(time.process_time() - begun)
    return {"seconds": min(times), "mib": peak_kib() / 1024}


def alone(*given):
    """`measure` in a process of its own."""
    return said_by(["-m", "benchmarks.growth", "--child", json.dumps(given)])


def exponent(values, found):
    """Slope in log-log of what is above the first value's cost, where that is a quarter of it."""
    first = found[0]["seconds"]
    pairs = [(v, f["seconds"] - first) for v, f in zip(values, found, strict=True) if v > values[0]]
    pairs = [(v, more) for v, more in pairs if more > 0.25 * first]
    if len(pairs) < 2:
        return None
    x, y = np.log(np.array(pairs)).T
    return float(np.polyfit(x, y, 1)[0])


def plot(found, path):
    """Four panels; time in full, memory dashed on an axis of its own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    for axes, (name, lines) in zip(figure.subplots(2, 2).flat, found.items(), strict=True):
        memory = axes.twinx()
        for head, turns in lines.items():
            x = VALUES[name]
            rise = exponent(x, turns)
            label = head if rise is None else f"{head}: exponent {rise:.2f}"
            (drawn,) = axes.plot(x, [1000 * t["seconds"] for t in turns], "o-", label=label)
            memory.plot(x, [t["mib"] for t in turns], "--", color=drawn.get_color(), alpha=0.5)
        # Room above for the legend.
        axes.set(xlabel=TITLES[name], ylabel="processor milliseconds a step")
        memory.set(ylabel="peak resident MiB (dashed)")
        for each in (axes, memory):
            each.set_ylim(0, 1.3 * each.get_ylim()[1])
        axes.legend(loc="upper left")
    figure.savefig(path, dpi=120)


def main():
    """Prints one table; keeps JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if given.child:
        print(json.dumps(measure(*given.child)))
        return
    found = {}
    print(f"### Growth of a training step, {os.environ['KERAS_BACKEND']}, {machine()}\n")
    print("| against | head | values | processor ms | peak MiB | exponent |")
    print("|---|---|---|---|---|---|")
    for name, values in VALUES.items():
        found[name] = {}
        for head in HEADS if name in ("objects", "classes") else HEADS[:1]:
            turns = [
                alone(BASE | {name: value}, head, given.steps, given.eager) for value in values
            ]
            found[name][head], rise = turns, exponent(values, turns)
            times = ", ".join(f"{1000 * turn['seconds']:.0f}" for turn in turns)
            peaks = ", ".join(f"{turn['mib']:.0f}" for turn in turns)
            print(
                f"| {name} | {head} | {', '.join(map(str, values))} | {times} | {peaks} "
                f"| {'' if rise is None else f'{rise:.2f}'} |",
                flush=True,
            )
    RESULTS.mkdir(exist_ok=True)
    plot(found, RESULTS / "growth.png")
    keep("growth", {"base": BASE, "values": VALUES, "found": found})


if __name__ == "__main__":
    main()
