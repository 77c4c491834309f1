"""Train a model of the peer from scratch and write its predictions as COCO results.

`benchmarks.learning` runs it in the environment of the peer, with one JSON argument.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def main():
    """Options: data (yaml), images (folder), model (yaml), split, output (json), epochs, size,
    batch, seed, folder.
    """
    from ultralytics import YOLO  # here, so that the tests can import the functions below

    options = json.loads(sys.argv[1])
    device = {"imgsz": options["size"], "device": "cpu"}
    loading = {"data": options["data"], "batch": options["batch"], "workers": 0, "plots": False}
    start = time.perf_counter()
    model = YOLO(options["model"])
    model.train(
        **device,
        **loading,
        epochs=options["epochs"],
        seed=options["seed"],
        project=options["folder"],
        name="run",
        pretrained=False,
        exist_ok=True,
    )
    seconds = time.perf_counter() - start
    best = YOLO(Path(options["folder"]) / "run" / "weights" / "best.pt")
    metrics = best.val(
        **device,
        **loading,
        split=options["split"],
        project=options["folder"],
        name="evaluated",
        exist_ok=True,
    )
    own = {"box": metrics.box.map, "box50": metrics.box.map50}
    if hasattr(metrics, "seg"):
        own |= {"mask": metrics.seg.map, "mask50": metrics.seg.map50}
    results = []
    for file in sorted(Path(options["images"]).iterdir()):
        # The thresholds of its validation; masks at the size of the image.
        (found,) = best.predict(
            file, **device, conf=0.001, iou=0.7, max_det=300, retina_masks=True, verbose=False
        )
        results += rows_of(int(file.stem), found)
    answer = {"seconds": seconds, "own": {k: float(v) for k, v in own.items()}, "results": results}
    Path(options["output"]).write_text(json.dumps(answer))


def rows_of(number, found):
    """Return COCO results of one image; the id of a class is its index plus 1."""
    boxes = found.boxes.xyxy.numpy().astype(float)
    rows = [
        {
            "image_id": number,
            "category_id": int(kind) + 1,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": float(score),
        }
        for box, kind, score in zip(
            boxes.tolist(), found.boxes.cls.tolist(), found.boxes.conf.tolist(), strict=True
        )
    ]
    if found.masks is not None:
        for row, mask in zip(rows, found.masks.data.numpy() > 0.5, strict=True):
            row["segmentation"] = {"size": list(mask.shape), "counts": run_lengths(mask)}
    return rows


def run_lengths(mask):
    """Return COCO's run lengths of a mask (height, width): by columns, zeros first."""
    pixels = mask.T.ravel()
    ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff([0, *ends, pixels.size]).tolist()
    return [0, *counts] if pixels[0] else counts


if __name__ == "__main__":
    main()
