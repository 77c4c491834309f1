"""Contender: the training images of the peer, in one thread and without a model.

`benchmarks.pipeline` runs it in the environment of the peer.
"""

import json
import os
import resource
import sys
import time

import cv2
from ultralytics.cfg import get_cfg
from ultralytics.data import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset

LIKE_OURS = {
    "mosaic": 1.0, "scale": 0.5, "translate": 0.1, "degrees": 0.0, "shear": 0.0,
    "perspective": 0.0, "fliplr": 0.5, "flipud": 0.0, "hsv_h": 0.015, "hsv_s": 0.7, "hsv_v": 0.4,
    "mixup": 0.0, "copy_paste": 0.0,
}  # fmt: skip


def prepare(options):
    """Return a step that makes one image."""
    cv2.setNumThreads(1)
    cached = "ram" if options["cached"] else False
    cfg = get_cfg(overrides=LIKE_OURS | {"imgsz": options["size"], "cache": cached})
    data = check_det_dataset(options["data"])
    dataset = build_yolo_dataset(cfg, data["train"], 16, data, mode="train")
    place = 0

    def step():
        nonlocal place
        dataset[place % len(dataset)]
        place += 1

    return step


def main():
    """Run the protocol of `benchmarks.contenders.worker`."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    options = json.loads(sys.argv[1])
    start = time.perf_counter()
    step = prepare(options)
    for _ in range(options["warmup"]):
        step()
    send(answers, {"ready": True, "prepare_s": time.perf_counter() - start})
    for line in sys.stdin:
        start = time.process_time()
        for _ in range(json.loads(line)["steps"]):
            step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        send(answers, {"seconds": time.process_time() - start, "peak_kib": peak})


def send(stream, value):
    """Write one line."""
    stream.write(json.dumps(value) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
