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

import cv2
import numpy as np

from benchmarks.harness import PEER, machine, run_peer, save_result
from benchmarks.learning_cases import CASES, Case, small_as_crowd


def write_yolo(folder, splits, with_masks=False):
    """Copy datasets to the format of the peer; return the data.yaml.

    An object's label is its class and box, or the largest polygon of its mask.
    """
    for split, dataset in splits.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number, row in enumerate(dataset.rows()):
            name = f"{number:06}"
            shutil.copy(row.path, folder / "images" / split / (name + row.path.suffix))
            height, width = row.size
            shapes = outlines_of(dataset[number].instances) if with_masks else centers_of(row.boxes)
            lines = [
                " ".join([str(kind), *(f"{value:.6f}" for value in (shape / (width, height)).flat)])
                for kind, shape in zip(row.classes, shapes, strict=True)
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


def centers_of(boxes):
    """Return ((center), (width, height)) of xyxy boxes, (n, 2, 2)."""
    low, high = np.asarray(boxes)[:, :2], np.asarray(boxes)[:, 2:]
    return np.stack([(low + high) / 2, high - low], axis=1)


def outlines_of(instances):
    """Return the largest polygon of each object's mask, (points, 2) each."""
    if not len(instances):
        return []
    # OpenCV requires contours of float32.
    found = [[part.astype(np.float32) for part in parts] for parts in instances.masks.polygons()]
    return [max(parts, key=cv2.contourArea) for parts in found]


def evaluate_results(dataset, results, with_masks=False):
    """Return the COCO metrics of COCO results.

    The id of an image is its index in the dataset, that of a class its index plus 1.
    """
    from visiongarden import ClassMap
    from visiongarden.metrics import CocoMeanAveragePrecision
    from visiongarden.samples import Instances

    names = dataset.class_map.names
    classes = ClassMap(names, ids=range(1, len(names) + 1))
    of_image = {}
    for row in results:
        of_image.setdefault(row["image_id"], []).append(row)
    kinds = (False, True) if with_masks else (False,)
    metrics = [CocoMeanAveragePrecision(classes, masks=kind) for kind in kinds]
    for number, sample in enumerate(dataset):
        size = sample.info.original_size
        found = Instances.from_coco(of_image.get(number, []), classes, number, size)
        for metric in metrics:
            metric.update_state([sample], [found])
    return {name: value for metric in metrics for name, value in metric.result().items()}


def ours(case, splits, options, seed, folder):
    """Train a detector of the same size; return its scores."""
    start = time.perf_counter()
    command = [
        sys.executable, "-m", "visiongarden", "train", str(case.data),
        "--reader", case.reader, "--invalid-boxes", "drop", "--output", str(folder),
        "--task", case.task, *case.overrides,
        f"model.image_size={case.size}", f"training.epochs={case.epochs}",
        f"training.batch_size={case.batch}", f"training.seed={seed}", f"data.val={case.val}",
        f"training.validate_every={max(case.epochs // case.evaluations, 1)}",
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
    with_masks = case.task == "instance_segmentation"
    if case.task != "detection" and not with_masks:
        sys.exit("the peer learns boxes and masks only: add --only ours")
    data = write_yolo(folder / "data", splits, with_masks)
    arguments = {
        "data": str(data), "images": str(data.parent / "images" / case.test),
        "model": "yolov8n-seg.yaml" if with_masks else "yolov8n.yaml",
        "output": str(folder / "found.json"), "seed": seed, "split": case.test,
        "epochs": case.epochs, "size": case.size, "batch": case.batch, "folder": str(folder),
    }  # fmt: skip
    run_peer(options.peer_python, "ultralytics_train.py", arguments, folder)
    answer = json.loads((folder / "found.json").read_text())
    print("metrics that the peer computes:", answer["own"])

    def evaluate_on(dataset):
        return evaluate_results(dataset, answer["results"], with_masks)

    return scores(case, splits[case.test], evaluate_on, answer["seconds"])


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
    if options.only != "ours" and not Path(options.peer_python).is_file():
        # Before the first training, not after it.
        parser.error(f"--peer-python {options.peer_python} does not exist: add --only ours")
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
