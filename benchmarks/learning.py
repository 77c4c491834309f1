"""Compare training from scratch with the peer on the same images and the same budget.

`python -m benchmarks.learning coco_by --seeds 0 1 2` runs one of the cases of `learning_cases`,
each with its budget, which options change. The peer trains in a separate environment
(`benchmarks/peers/`) on a copy of the data in its format. The COCO metric of visiongarden evaluates
both.
"""

import argparse
import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import PEER, machine, run_peer, save_result
from benchmarks.learning_cases import CASES, Case, small_as_crowd


def write_yolo(folder, splits):
    """Copy datasets to the format of the peer; return the data.yaml."""
    for split, dataset in splits.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number, row in enumerate(dataset.rows()):
            name = f"{number:06}"
            shutil.copy(row.path, folder / "images" / split / (name + row.path.suffix))
            height, width = row.size
            boxes = row.boxes / np.array([width, height, width, height])
            center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            lines = [
                f"{kind} {c[0]:.6f} {c[1]:.6f} {s[0]:.6f} {s[1]:.6f}"
                for kind, c, s in zip(row.classes, center, side, strict=True)
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


def evaluate_rows(dataset, rows):
    """Return the COCO metrics of (image, x1, y1, x2, y2, score, class) rows."""
    from visiongarden.metrics import CocoMeanAveragePrecision
    from visiongarden.samples import Boxes, Instances

    metric = CocoMeanAveragePrecision(dataset.class_map)
    for number, sample in enumerate(dataset):
        own = rows[rows[:, 0] == number]
        boxes, scores = own[:, 1:5].astype(np.float32), own[:, 5].astype(np.float32)
        classes = own[:, 6].astype(np.int32)
        found = Instances(sample.instances.size, Boxes(boxes), classes, scores=scores)
        metric.update_state([sample], [found])
    return metric.result()


def ours(case, splits, options, seed, folder):
    """Train a detector of the same size; return its scores."""
    start = time.perf_counter()
    command = [
        sys.executable, "-m", "visiongarden", "train", str(case.data),
        "--reader", case.reader, "--invalid-boxes", "drop", "--output", str(folder),
        "--task", case.task, *case.overrides,
        f"model.image_size={case.size}", f"training.epochs={case.epochs}",
        f"training.batch_size={case.batch}", f"training.seed={seed}", f"data.val={case.val}",
        f"training.validate_every={max(case.epochs // 60, 1)}",
        *([] if options.head is None else [f"model.head.type={options.head}"]), *options.override,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    import visiongarden as vg
    from visiongarden.evaluation import evaluate

    def evaluate_on(dataset):
        return evaluate(vg.load(folder / "best.keras"), dataset).metrics

    return scores(case, splits[case.test], evaluate_on, seconds)


def scores(case, dataset, evaluate_on, seconds):
    """Return AP and AP50 of all boxes, and of masks, and AP50 without what `min_side` excludes."""
    of_all = evaluate_on(dataset)
    row = {name: of_all[name] for name in metrics_of(case)} | {"seconds": seconds}
    if case.min_side:
        large = evaluate_on(small_as_crowd(dataset, case.size, case.min_side))
        row |= {f"{name} large": large[name] for name in metrics_of(case) if "AP50" in name}
    return row


def metrics_of(case):
    """Return the names of the metrics that a case reports."""
    masks = ("mask_AP", "mask_AP50") if case.task == "instance_segmentation" else ()
    return ("AP", "AP50", *masks)


def peer(case, splits, options, seed, folder):
    """Train the peer's model; return its scores."""
    if case.task != "detection":
        sys.exit("the peer learns boxes only: add --only ours")
    data = write_yolo(folder / "data", splits)
    arguments = {
        "data": str(data), "split": case.test, "output": str(folder / "found.npz"), "seed": seed,
        "epochs": case.epochs, "size": case.size, "batch": case.batch, "folder": str(folder),
    }  # fmt: skip
    run_peer(options.peer_python, "ultralytics_train.py", arguments, folder)
    with np.load(folder / "found.npz") as answer:
        print("metrics that the peer computes:", answer["own"].round(4))
        rows, seconds = answer["rows"], float(answer["seconds"])
    return scores(case, splits[case.test], lambda dataset: evaluate_rows(dataset, rows), seconds)


def case_of(options):
    """Return the named case, or one for the path of a dataset, with the options applied."""
    case = CASES.get(options.case)
    if case is None:
        tested = (Path(options.case) / "ImageSets" / "Main" / "test.txt").is_file()
        case = Case(Path(options.case), "VOC", test="test" if tested else "val")
    names = ("reader", "epochs", "size", "batch")
    given = {name: getattr(options, name) for name in names}
    return dataclasses.replace(case, **{k: v for k, v in given.items() if v is not None})


def read_splits(case):
    """Read the splits of a case, always with `val`, which the peer requires."""
    from visiongarden.data import read

    names = {"train": "train", "val": case.val, case.test: case.test}
    return {
        name: read(case.data, reader=case.reader, split=split, invalid_boxes="drop")
        for name, split in names.items()
    }


def main():
    """Print a table and save the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", help=f"{', '.join(CASES)}, or the path of a dataset")
    parser.add_argument("--reader")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--head", help="head of the detector; AnchorFree by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peer-python", default=str(PEER))
    parser.add_argument("--only", choices=["ours", "peer"])
    parser.add_argument("--override", nargs="*", default=[])
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        case = case_of(options)
        case = dataclasses.replace(case, data=case.folder(Path(scratch)))
        splits = read_splits(case)
        for seed in options.seeds:
            for name, run in (("ours", ours), ("peer", peer)):
                if options.only in (None, name):
                    with tempfile.TemporaryDirectory() as folder:
                        result = run(case, splits, options, seed, Path(folder))
                    rows.append({"name": name, "seed": seed, **result})
                    print(rows[-1], flush=True)
    name = options.case if options.case in CASES else Path(options.case).name
    print(table(name, case, rows))
    seeds = "_".join(map(str, options.seeds))
    save_result(
        "_".join(["learning", name, options.head or "AnchorFree", str(case.epochs), seeds]),
        {"options": vars(options), "rows": rows},
    )


def table(name, case, rows):
    """Return the means over the seeds as Markdown."""
    budget = f"{case.epochs} epochs of batch {case.batch} at {case.size} pixels"
    first, *others = (key for key in rows[0] if key not in ("name", "seed", "seconds"))
    titles = [
        key.replace(" large", f", sides of at least {case.min_side:g} pixels") for key in others
    ]
    lines = [
        f"\n{name}, {case.test} split, {budget}, {machine()}\n",
        " | ".join(["| contender", f"{first}, mean (lowest to highest)", *titles, "seconds |"]),
        "|---" * (len(others) + 3) + "|",
    ]
    for contender in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == contender]
        ap = [row[first] for row in own]
        values = [f"{statistics.mean(ap):.3f} ({min(ap):.3f} to {max(ap):.3f})"]
        values += [f"{statistics.mean(row[key] for row in own):.3f}" for key in others]
        values.append(f"{statistics.mean(row['seconds'] for row in own):.0f}")
        lines.append(" | ".join([f"| {contender}", *values]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
