"""Export the peer's untrained nano model to ONNX; one JSON argument: file, size, batch."""

import json
import shutil
import sys

from ultralytics import YOLO


def main():
    """Export the model."""
    options = json.loads(sys.argv[1])
    written = YOLO("yolov8n.yaml").export(
        format="onnx", imgsz=options["size"], batch=options["batch"], device="cpu", simplify=False
    )
    shutil.move(written, options["file"])


if __name__ == "__main__":
    main()
