"""Learning from scratch beside the peer: same images, split, size, epochs, batch, model size.

The peer trains in its own environment (`benchmarks/peers/`) on a copy of the data in its format;
both are judged by our COCO metric on the test split, or on `val` where there is none.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import PEER, keep, machine, run_peer


def write_yolo(folder, splits):
    """Copies data sets into the peer's format; returns the data.yaml."""
    for split, dataset in splits.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number, example in enumerate(dataset):
            name = f"{number:06}"
            shutil.copy(example.path, folder / "images" / split / (name + example.path.suffix))
            height, width = example.size
            boxes = example.boxes / np.array([width, height, width, height])
            centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            lines = [
                f"{kind} {c[0]:.6f} {c[1]:.6f} {s[0]:.6f} {s[1]:.6f}"
                for kind, c, s in zip(example.classes, centre, side, strict=True)
            ]
            (folder / "labels" / split / f"{name}.txt").write_text("\n".join(lines))
    names = list(next(iter(splits.values())).class_map.names)
    file = folder / "data.yaml"
    file.write_text(
        json.dumps(
            {"path": str(folder), "names": names} | {name: f"images/{name}" for name in splits}
        )
    )
    return file


def judged(dataset, rows):
    """COCO figures of (image, x1, y1, x2, y2, score, class) rows."""
    from visiongarden.metrics import CocoMeanAveragePrecision
    from visiongarden.types import Detections

    metric = CocoMeanAveragePrecision(dataset.class_map)
    for number, example in enumerate(dataset):
        own = rows[rows[:, 0] == number]
        boxes, scores = own[:, 1:5].astype(np.float32), own[:, 5].astype(np.float32)
        metric.update(Detections(boxes, scores, own[:, 6].astype(np.int32)), example)
    return metric.result()


def ours(options, splits, test, seed, folder):
    """Trains our detector of the same size; returns AP, AP50 and seconds."""
    begun = time.perf_counter()
    command = [
        sys.executable, "-m", "visiongarden", "train", options.data,
        "--format", options.format, "--invalid-boxes", "drop", "--output", str(folder),
        f"model.image_size={options.size}", f"training.epochs={options.epochs}",
        f"training.batch_size={options.batch}", f"training.seed={seed}", *options.override,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    import visiongarden as vg
    from visiongarden.evaluation import evaluate

    result = evaluate(vg.load(folder / "best.keras"), splits[test])
    return result.figures["AP"], result.figures["AP50"], seconds


def peer(options, splits, test, seed, folder):
    """The same of the peer."""
    data = write_yolo(folder / "data", splits)
    asked = {
        "data": str(data), "split": test, "output": str(folder / "found.npz"), "seed": seed,
        "epochs": options.epochs, "size": options.size, "batch": options.batch,
        "folder": str(folder),
    }  # fmt: skip
    run_peer(options.peer_python, "ultralytics_train.py", asked, folder)
    with np.load(folder / "found.npz") as answer:
        print("the peer's own figures", answer["own"].round(4))
        figures = judged(splits[test], answer["rows"])
        return figures["AP"], figures["AP50"], float(answer["seconds"])


def main():
    """Prints a table and keeps JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--format", default="voc")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peer-python", default=str(PEER))
    parser.add_argument("--only", choices=["ours", "peer"])
    parser.add_argument("--override", nargs="*", default=[])
    options = parser.parse_args()
    from visiongarden.data import read

    def split(name):
        return read(options.data, options.format, split=name, invalid_boxes="drop")

    splits = {"train": split("train"), "val": split("val")}
    test = "val"
    if (Path(options.data) / "ImageSets" / "Main" / "test.txt").is_file():
        test, splits["test"] = "test", split("test")
    rows = []
    for seed in options.seeds:
        for name, run in (("ours", ours), ("peer", peer)):
            if options.only in (None, name):
                with tempfile.TemporaryDirectory() as scratch:
                    ap, ap50, seconds = run(options, splits, test, seed, Path(scratch))
                rows.append(
                    {"name": name, "seed": seed, "AP": ap, "AP50": ap50, "seconds": seconds}
                )
                print(rows[-1], flush=True)
    how = f"{test} split, {options.epochs} epochs at {options.size}"
    print(f"\n{Path(options.data).name}, {how}, {machine()}\n")
    print("| who | AP, mean (least to most) | AP50 | seconds |\n|---|---|---|---|")
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        ap, ap50, seconds = ([row[k] for row in own] for k in ("AP", "AP50", "seconds"))
        print(
            f"| {name} | {statistics.mean(ap):.3f} ({min(ap):.3f} to {max(ap):.3f}) "
            f"| {statistics.mean(ap50):.3f} | {statistics.mean(seconds):.0f} |"
        )
    seeds = "_".join(map(str, options.seeds))
    keep(
        f"learning_{Path(options.data).name}_{options.epochs}_seeds_{seeds}",
        {"options": vars(options), "rows": rows},
    )


if __name__ == "__main__":
    main()
