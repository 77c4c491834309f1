"""`predict`: images or image files -> what a model finds; as pictures, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data import decode
from visiongarden.data.read.build import ENDINGS
from visiongarden.errors import UserError
from visiongarden.evaluation.draw import draw
from visiongarden.evaluation.evaluate import filled
from visiongarden.evaluation.predictor import Predictor
from visiongarden.evaluation.report import Report, report_on
from visiongarden.models import load
from visiongarden.storage import atomic_write
from visiongarden.tasks import task_of


def predict(
    model: Any,
    images: Sequence[np.ndarray | str | Path],
    score: float | None = None,
    batch_size: int = 8,
    predictor: Predictor | None = None,
) -> list[Any]:
    """What a model finds in each image, in the image's own pixels.

    Args:
        model: a `Detector`, `Classifier` or `Segmenter`, or a `DarknetModel`.
        images: files, or uint8 RGB arrays (height, width, 3) of any size.
        score: least score of a detection (by default 0.25), or of a class beside the best (0).
        batch_size: images a step; less is filled up.
        predictor: by default one at the model's image size.

    Returns:
        For each image `Detections`, a `Ranking` of the classes, or `Segments`.

    Raises:
        DataError: a file cannot be decoded.
    """
    task = task_of(model)
    if hasattr(model, "detect"):  # an imported network has its own way, from pixels to boxes
        least = task.score if score is None else score
        return [model.detect(image, least) for image in images]
    predictor = predictor or _predictor(model, score)
    found: list[Any] = []
    for start in range(0, len(images), batch_size):
        pixels = [
            decode(Path(image)) if isinstance(image, (str, Path)) else image
            for image in images[start : start + batch_size]
        ]
        placed = [task.place(image, predictor.image_size) for image in pixels]
        canvas = np.stack([image for image, _ in placed])
        if len(images) > batch_size:
            canvas = filled(canvas, batch_size)
        for one, image, (_, placement) in zip(predictor(canvas), pixels, placed, strict=False):
            found.append(task.to_original(one, placement, (image.shape[0], image.shape[1])))
    return found


def predict_files(
    model: str | Path,
    images: Sequence[str | Path],
    output: str | Path = "predictions",
    score: float | None = None,
) -> Path:
    """`predict` for files: writes an annotated PNG for each image, and the numbers.

    - Detection: `detections.json`, one object an image: `file`, and `detections` with `class`,
      `score` and `box` (left, top, right, bottom in pixels).
    - Classification: `classes.json` (`file`, and `classes` with `class` and `score`, best first)
      and `classes.csv`, a row an image and a column a class.
    - Segmentation: `segments.json` (`file`, `mask`, and `segments` with `class` and `share` of the
      pixels), and in `masks/` a grey PNG for each image whose values are class indices.

    Args:
        model: a model file.
        images: image files, or folders of them.
        output: folder for the results.
        score: least score of a detection (by default 0.25), or of a class beside the best (0).

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
    predictor = None if hasattr(opened, "detect") else _predictor(opened, score)
    report: Report = report_on(opened)
    for file, name in zip(files, names, strict=True):
        image = decode(file)
        found = predict(opened, [image], score, predictor=predictor)[0]
        write_png(output / name, draw(image, found, opened.class_map))
        report.add(file, found)
        for extra, pixels in report.pictures(file, found).items():
            write_png(output / extra, pixels)
    for name, text in report.texts().items():
        atomic_write(output / name, text)
    return output


def _predictor(model: Any, score: float | None) -> Predictor:
    task = task_of(model)
    least = task.score if score is None else score
    return Predictor(model, postprocess=task.postprocess(model, least))


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes a uint8 image, RGB or grey, at once under its final name."""
    raw = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)[1]
    atomic_write(path, raw.tobytes(), durable=False)


def _files(images: Sequence[str | Path]) -> list[Path]:
    files: list[Path] = []
    for image in map(Path, images):
        if image.is_dir():
            files += sorted(p for p in image.iterdir() if p.suffix.lower() in ENDINGS)
        elif image.is_file():
            files.append(image)
        else:
            raise UserError(f"there is no image {image}", fix="check the path")
    if not files:
        raise UserError("there is no image to look at", received=", ".join(map(str, images)))
    return files
