"""Compare the time and the values of the COCO metrics with pycocotools.

The measured time is that from arrays of boxes to the twelve metrics; no file is read.
"""

import argparse
import contextlib
import io
import statistics
import time

import numpy as np

from benchmarks.harness import machine, save_result


def make(images, detections, classes, seed=0):
    """Return (detections, ground truth) of each image; some detections are wrong."""
    from visiongarden.samples import Boxes, ImageInfo, Instances, Sample

    random = np.random.default_rng(seed)
    rows = []
    for number in range(images):
        count = int(random.integers(1, 15))
        low = random.uniform(0, 500, (count, 2))
        boxes = np.concatenate([low, low + random.uniform(4, 140, (count, 2))], 1)
        labels = random.integers(0, classes, count)
        chosen = random.integers(0, count, detections)
        moved = boxes[chosen] + random.normal(0, 8, (detections, 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        wrong = random.random(detections) < 0.3
        found = np.where(wrong, random.integers(0, classes, detections), labels[chosen])
        scores = random.permutation(detections * 7)[:detections] / (detections * 7)
        order = np.argsort(-scores)
        size, crowd = (640, 640), random.random(count) < 0.03
        objects = Instances(size, Boxes(boxes), labels, crowd=crowd)
        ground_truth = Sample(ImageInfo(number, None, size), instances=objects)
        rows.append(
            (
                Instances((640, 640), Boxes(moved[order]), found[order], scores=scores[order]),
                ground_truth,
            )
        )
    return rows


def ours(rows, class_map):
    """Return the metrics that visiongarden computes."""
    from visiongarden.metrics import CocoMeanAveragePrecision

    metric = CocoMeanAveragePrecision(class_map)
    for found, ground_truth in rows:
        metric.update_state([ground_truth], [found])
    return list(metric.result().values())[:12]


def pycocotools(rows, class_map):
    """Return the metrics that pycocotools computes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ground_truths, results = [], []
    for number, (found, ground_truth) in enumerate(rows):
        objects = ground_truth.instances
        for box, label, crowd in zip(
            np.asarray(objects.boxes), objects.classes, objects.crowd, strict=True
        ):
            x1, y1, x2, y2 = box.astype(np.float64).tolist()
            ground_truths.append(
                {"id": len(ground_truths) + 1, "image_id": number + 1,
                 "category_id": int(label) + 1,
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
                 "iscrowd": int(crowd)}
            )  # fmt: skip
        boxes = np.asarray(found.boxes, np.float64).copy()
        boxes[:, 2:] -= boxes[:, :2]
        image = np.full((len(boxes), 1), number + 1.0)
        results.append(
            np.concatenate(
                [
                    image,
                    boxes,
                    found.scores[:, None].astype(np.float64),
                    found.classes[:, None] + 1,
                ],
                axis=1,
            )
        )
    ground_truth = COCO()
    ground_truth.dataset = {
        "images": [{"id": i + 1, "height": 640, "width": 640} for i in range(len(rows))],
        "annotations": ground_truths,
        "categories": [{"id": i + 1, "name": n} for i, n in enumerate(class_map.names)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(np.concatenate(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def main():
    """Print the processor seconds, their ratio and the largest difference of the metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    from visiongarden.types import ClassMap

    class_map = ClassMap(tuple(map(str, range(args.classes))))
    rows = make(args.images, args.detections, args.classes)
    seconds = {"ours": [], "pycocotools": []}
    metrics = {}
    for _ in range(args.rounds):
        for name, compute in (("ours", ours), ("pycocotools", pycocotools)):
            start = time.process_time()
            metrics[name] = compute(rows, class_map)
            seconds[name].append(time.process_time() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = median["pycocotools"] / median["ours"]
    difference = float(np.nanmax(np.abs(np.array(metrics["ours"]) - metrics["pycocotools"])))
    print(
        f"### COCO metrics of {args.images} images, {args.detections} detections each, "
        f"{args.classes} classes, {machine()}\n\n"
        "| | processor seconds | AP |\n|---|---|---|\n"
        + "".join(f"| {n} | {median[n]:.2f} | {metrics[n][0]:.6f} |\n" for n in median)
        + f"\nratio {ratio:.1f}, largest difference of the twelve metrics {difference:.1e}"
    )
    save_result(
        "coco_map",
        {"seconds": seconds, "metrics": metrics, "ratio": ratio, "difference": difference},
    )


if __name__ == "__main__":
    main()
