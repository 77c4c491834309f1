"""`predict`: images or image files -> detections; drawn, and as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data import decode, letterbox
from visiongarden.errors import UserError
from visiongarden.evaluation.draw import draw
from visiongarden.evaluation.evaluate import filled
from visiongarden.evaluation.predictor import Predictor
from visiongarden.models import load
from visiongarden.postprocess import Nms, to_original
from visiongarden.types import ClassMap, Detections

_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
RESULTS = "detections.json"


def predict(
    model: Any,
    images: Sequence[np.ndarray | str | Path],
    score: float = 0.25,
    batch_size: int = 8,
    predictor: Predictor | None = None,
) -> list[Detections]:
    """Detections of each image, in its own pixels.

    Args:
        model: a `Detector`, or a `DarknetModel`.
        images: files, or uint8 RGB arrays (height, width, 3) of any size.
        score: least score of a detection.
        batch_size: images a step; less is filled up.
        predictor: one that is compiled already.

    Raises:
        DataError: a file cannot be decoded.
    """
    if hasattr(model, "detect"):  # an imported network has its own way, from pixels to boxes
        return [model.detect(image, score) for image in images]
    predictor = predictor or Predictor(model, nms=Nms(score_threshold=score))
    found: list[Detections] = []
    for start in range(0, len(images), batch_size):
        pixels = [
            decode(Path(image)) if isinstance(image, (str, Path)) else image
            for image in images[start : start + batch_size]
        ]
        placed = [letterbox(image, predictor.image_size) for image in pixels]
        canvas = np.stack([image for image, _ in placed])
        if len(images) > batch_size:
            canvas = filled(canvas, batch_size)
        for one, image, (_, placement) in zip(predictor(canvas), pixels, placed, strict=False):
            found.append(to_original(one, placement, (image.shape[0], image.shape[1])))
    return found


def predict_files(
    model: str | Path,
    images: Sequence[str | Path],
    output: str | Path = "predictions",
    score: float = 0.25,
) -> Path:
    """`predict` for files: writes an annotated PNG for each image, and `detections.json`.

    The JSON is a list, one object an image: `file`, and `detections` with `class`, `score` and
    `box` (left, top, right, bottom in pixels).

    Args:
        model: a model file.
        images: image files, or folders of them.
        output: folder for the results.
        score: least score of a detection.

    Raises:
        UserError: no image is found, or two would be written under one name.
        DataError: an image cannot be decoded.
    """
    files = _files(images)
    names = [f"{file.stem}.png" for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"two images would be written as {twice[0]}", fix="predict them in two runs"
        )
    opened, output = load(model), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    predictor = None
    if not hasattr(opened, "detect"):
        predictor = Predictor(opened, nms=Nms(score_threshold=score))
    rows = []
    for file, name in zip(files, names, strict=True):
        image = decode(file)
        found = predict(opened, [image], score, predictor=predictor)[0]
        write_png(output / name, draw(image, found, opened.class_map))
        rows.append({"file": str(file), "detections": as_rows(found, opened.class_map)})
    (output / RESULTS).write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return output


def as_rows(found: Detections, class_map: ClassMap | None) -> list[dict[str, Any]]:
    """Detections as plain objects for JSON."""
    return [
        {
            "class": class_map.names[int(index)] if class_map else int(index),
            "score": round(float(score), 4),
            "box": [round(float(v), 2) for v in box],
        }
        for box, score, index in zip(found.boxes, found.scores, found.classes, strict=True)
    ]


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes a uint8 RGB image at once under its final name."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".picture-", suffix=".png")
    os.close(handle)
    try:
        cv2.imwrite(name, image[..., ::-1])
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _files(images: Sequence[str | Path]) -> list[Path]:
    files: list[Path] = []
    for image in map(Path, images):
        if image.is_dir():
            files += sorted(p for p in image.iterdir() if p.suffix.lower() in _ENDINGS)
        elif image.is_file():
            files.append(image)
        else:
            raise UserError(f"there is no image {image}", fix="check the path")
    if not files:
        raise UserError("there is no image to look at", received=", ".join(map(str, images)))
    return files
