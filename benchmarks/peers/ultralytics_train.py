"""Train the peer's nano model from scratch and write its detections for evaluation.

`benchmarks.learning` runs it in the environment of the peer, with one JSON argument.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from ultralytics import YOLO


def main():
    """Options: data (yaml), split to evaluate, output (npz), epochs, size, batch, seed, folder."""
    options = json.loads(sys.argv[1])
    start = time.perf_counter()
    model = YOLO("yolov8n.yaml")
    model.train(
        data=options["data"],
        epochs=options["epochs"],
        imgsz=options["size"],
        batch=options["batch"],
        seed=options["seed"],
        project=options["folder"],
        name="run",
        pretrained=False,
        device="cpu",
        workers=0,
        plots=False,
        exist_ok=True,
    )
    seconds = time.perf_counter() - start
    best = YOLO(Path(options["folder"]) / "run" / "weights" / "best.pt")
    metrics = best.val(
        data=options["data"],
        split=options["split"],
        imgsz=options["size"],
        batch=options["batch"],
        device="cpu",
        workers=0,
        plots=False,
        save_json=True,
        project=options["folder"],
        name="evaluated",
        exist_ok=True,
    )
    rows = []
    file = Path(options["folder"]) / "evaluated" / "predictions.json"
    for found in json.loads(file.read_text()):
        x, y, width, height = found["bbox"]
        place = [int(found["image_id"]), x, y, x + width, y + height]
        rows.append([*place, found["score"], found["category_id"] - 1])
    np.savez(
        options["output"],
        rows=np.array(rows, np.float64).reshape(-1, 7),
        seconds=seconds,
        own=np.array([metrics.box.map, metrics.box.map50]),
    )


if __name__ == "__main__":
    main()
