"""The peer's training images, one after another in one thread, without a model.

Run by `benchmarks.pipeline` in the peer's environment, as a contender.
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
    """A function that makes one image, and how many there are."""
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
    """Speaks the protocol of `benchmarks.contenders.worker`."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    options = json.loads(sys.argv[1])
    begun = time.perf_counter()
    step = prepare(options)
    for _ in range(options["warmup"]):
        step()
    say(answers, {"ready": True, "prepare_s": time.perf_counter() - begun})
    for line in sys.stdin:
        begun = time.process_time()
        for _ in range(json.loads(line)["steps"]):
            step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        say(answers, {"seconds": time.process_time() - begun, "peak_kib": peak})


def say(stream, value):
    """Writes one line."""
    stream.write(json.dumps(value) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
