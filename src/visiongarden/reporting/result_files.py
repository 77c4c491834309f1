"""Prediction on image files; results are written to a folder."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data.file_names import ENDINGS, image_names, names_in
from visiongarden.data.model_pixels import pixels_for
from visiongarden.errors import UserError, nearest, option
from visiongarden.evaluation.prediction import predictor_of, scored
from visiongarden.models.kinds import OfWholeImages, pixel_values_of
from visiongarden.models.precision import model_in_precision
from visiongarden.storage import atomic_write, check_file
from visiongarden.tasks import PredictionFiles, Task, task_of


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


_PNG_START = 33
"""Length of a PNG's signature and its first chunk, IHDR, in bytes; other chunks follow."""

_MARKER = _chunk(b"tEXt", b"Software\0visiongarden prediction")
"""PNG chunk that marks an image as a result, so that a later prediction may replace it."""

_MASKS = ("rle", "polygons")
"""Formats of the masks of objects in JSON files."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileResults:
    """Summary of a prediction on files.

    Attributes:
        folder: Folder of the results.
        files: Number of images whose results were written.
        skipped: One line for each image that could not be read.
        summary: Number of images, and a summary of their predictions.
        interrupted: Whether Ctrl-C stopped the prediction early.
        total: Number of images that were specified.
    """

    folder: Path
    files: int
    total: int
    summary: str
    skipped: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Whether each image has a result."""
        return self.files == self.total


def predict_files(
    model: str | Path,
    images: Sequence[str | Path],
    output: str | Path = "predictions",
    score: float | None = None,
) -> Path:
    """Predict on image files; write an annotated PNG for each image, and the predictions as text.

    - Detection: `detections.json` with one object per image: `file`, and `detections` with `class`,
      `score` and `box` (left, top, right, bottom in pixels).
    - Classification: `classes.json` (`file`, and `classes` with `class` and `score`, best first)
      and `classes.csv` with one row per image and one column per class.
    - Segmentation: `segments.json` (`file`, `mask`, and `segments` with `class` and `share` of the
      pixels), and for each image a gray PNG of class indices in `masks/`.
    - Multi-label: `labels.json` (`file`, and `classes` that apply, with `class` and `score`) and
      `labels.csv` with one row per image and one column per class.
    - Regression: `values.json` (`file`, and `values` with `name`, `value` and `unit`) and
      `values.csv` with one row per image and value.

    An image that cannot be read is skipped with a warning of the logger `visiongarden`. After
    Ctrl-C the results so far are written. Results of an earlier prediction are replaced, other
    files never.

    Args:
        model: Path of a model file.
        images: Image files, or folders of image files.
        output: Folder of the results; must not contain any of the images.
        score: Minimum score of a detection (by default 0.25), or of a class other than the best (by
            default 0).

    Returns:
        The folder of the results.

    Raises:
        UserError: No image is found, two images would be written under the same name, or a file
            that is not a result would be replaced.
        DataError: No image can be read.
        KeyboardInterrupt: After Ctrl-C, once the results so far are written.
    """
    results = predict_folder(model, images, output, score)
    if results.interrupted:
        raise KeyboardInterrupt
    return results.folder


def predict_folder(
    model: str | Path,
    images: Sequence[str | Path],
    output: str | Path = "predictions",
    score: float | None = None,
    iou: float | None = None,
    precision: str | None = None,
    warn: Callable[[str], None] = _LOG.warning,
    masks: str | None = None,
) -> FileResults:
    """Predict on image files as `predict_files` does, and return a summary.

    Args:
        model: Path of a model file.
        images: Image files, or folders of image files.
        output: Folder of the results.
        score: As in `predict_files`.
        iou: As in `visiongarden.evaluation.predict`.
        precision: As in `visiongarden.evaluation.predict`.
        warn: Function that is called with one line for each image that cannot be read.
        masks: How masks of objects are written: "rle", COCO's run lengths, which is the default, or
            "polygons".

    Raises:
        UserError: As in `predict_files`, or the results of the model have no masks.
        DataError: As in `predict_files`.
        KeyboardInterrupt: After Ctrl-C, if no result was written before it.
    """
    files, output = _files(images), Path(output)
    # All checks come before the first image, so that nothing is written if one fails.
    _check_unique_names(files)
    _check_output_folder(files, output)
    loaded = model_in_precision(model, precision)
    task = task_of(loaded)
    _check_masks(masks, task)
    report = task.prediction_files(loaded.class_map, task.score if score is None else score)
    _check_overwritten(report, files, output)
    skipped: list[str] = []
    first: Exception | None = None
    interrupted = False
    is_new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        for file, result in _results(loaded, files, score, iou):
            if isinstance(result, Exception):
                first = first or result
                skipped.append(_one_line(file, result))
                warn(f"skipped: {skipped[-1]}")
            else:
                image, found, best = result
                drawn = task.draw(image, found, loaded.class_map)
                if masks == "polygons":
                    found = found.replace(masks=found.masks.to_polygons())
                _write(report, output, file, drawn, found, best)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        # Also after an error such as a full disk: results so far are kept.
        if report.rows:
            _write_texts(report, output)
        elif is_new:
            with suppress(OSError):  # not empty: an image was written before the error
                output.rmdir()
    if not report.rows and interrupted:
        raise KeyboardInterrupt
    if not report.rows and first is not None:
        raise first
    return FileResults(output, len(report.rows), len(files), report.summary(), skipped, interrupted)


def _check_masks(masks: str | None, task: Task) -> None:
    """Raise an error if masks cannot be written as specified, before an image is read."""
    if masks is None:
        return
    if masks not in _MASKS:
        raise UserError(
            "the format of the masks is unknown",
            rule=f"one of {', '.join(_MASKS)}",
            received=masks,
            fix=nearest(masks, _MASKS),
        )
    if "masks" not in task.needs:
        raise UserError(
            f"the results of the model have no masks of objects, but {option('masks')} is {masks}",
            rule="a model of instance segmentation",
            received=f"the task {task.name}",
            fix=f"leave out {option('masks')}",
        )


def _results(
    model: Any, files: Sequence[Path], score: float | None, iou: float | None
) -> Iterator[tuple[Path, Any]]:
    """Yield each file with (pixels, prediction, best score), or with the error that occurred."""
    predictor, preprocessing = None, pixel_values_of(model)
    if not isinstance(model, OfWholeImages):
        predictor = predictor_of(model, score, iou)
    for file in files:
        try:
            image = pixels_for(file, preprocessing)
        except (UserError, OSError) as error:
            yield file, error
            continue
        ((found, best),) = scored(model, [image], score, iou=iou, batch_size=1, predictor=predictor)
        yield file, (image, found, best)


def _write(
    report: PredictionFiles,
    output: Path,
    file: Path,
    drawn: np.ndarray,
    found: Any,
    best: float,
) -> None:
    write_png(output / _picture(file), drawn)
    for extra, pixels in report.pictures(file, found).items():
        write_png(output / extra, pixels)
    # Last, because a row in the report guarantees that all files of the image are written.
    report.add(file, found, best)


def _write_texts(report: PredictionFiles, output: Path) -> None:
    for name, text in report.texts().items():
        atomic_write(output / name, text)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a uint8 image, RGB or gray, atomically and marked as a result."""
    raw = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)[1].tobytes()
    # Not synced to disk: a result that a power failure destroys can be predicted again.
    atomic_write(path, raw[:_PNG_START] + _MARKER + raw[_PNG_START:], durable=False)


def _picture(file: Path) -> str:
    return f"{file.stem}.png"


def _one_line(file: Path, error: Exception) -> str:
    text = ""
    if isinstance(error, UserError):
        text = error.what
    elif isinstance(error, OSError):
        text = error.strerror or ""
    return text if str(file) in text else f"{file}: {text or type(error).__name__}"


def _files(images: Sequence[str | Path]) -> list[Path]:
    files: list[Path] = []
    sources = [images] if isinstance(images, str | Path) else images
    for image in map(Path, sources):
        if image.is_dir():
            files += [image / name for name in image_names(names_in(image))]
        else:
            check_file(image, "image", sorted(ENDINGS))
            files.append(image)
    if not files:
        raise UserError(
            "no image files were found",
            rule="image files, or folders that contain image files",
            received=", ".join(map(str, sources)),
            fix="check the paths",
        )
    # A folder and one of its images may both be specified; that image is one image.
    return list(dict.fromkeys(files))


def _check_unique_names(files: Sequence[Path]) -> None:
    names: dict[str, Path] = {}
    for file in files:
        # Case-insensitive, as the file systems of Windows and macOS are by default.
        other = names.setdefault(_picture(file).casefold(), file)
        if other is not file:
            raise UserError(
                f"the results of two images would be named {_picture(file)}",
                rule="unique file names, apart from the extension",
                received=f"{other} and {file}",
                fix="predict on them in separate runs",
            )


def _check_output_folder(files: Sequence[Path], output: Path) -> None:
    """Raise an error if results would be written into a folder of the images.

    They would replace images, or be read as images by the next prediction.
    """
    folder = output.resolve()
    for file in files:
        if file.parent.resolve() == folder or file.resolve().parent == folder:
            raise UserError(
                f"the output folder {output} contains the input image {file.name}",
                rule=f"{option('output')} is a folder without input images",
                fix=option("output", str(output / "predictions")),
            )


def _check_overwritten(report: PredictionFiles, files: Sequence[Path], output: Path) -> None:
    """Raise an error if a file that is not a result would be replaced."""
    names = [name for file in files for name in (_picture(file), *report.picture_names(file))]
    for path in (output / name for name in (*report.files, *names)):
        if os.path.lexists(path) and not _is_result(path, report.header):
            raise UserError(
                f"{path} exists and is not a result of an earlier prediction",
                rule="only results of earlier predictions are overwritten",
                fix=option("output", str(output / "predictions")),
            )


def _is_result(path: Path, header: str) -> bool:
    """Return whether a file was written by an earlier prediction.

    PNG files are recognized by their mark, JSON and CSV files by their first bytes.
    """
    try:
        with path.open("rb") as stream:
            # Only the first bytes are read: a mark is at a fixed place, and tables may be large.
            start = stream.read(_PNG_START + len(_MARKER)).lstrip()
    except OSError:
        return False
    if path.suffix == ".json":
        return start.startswith(b"[") and (b'"file":' in start or start == b"[]")
    return start.startswith(header.encode()) or start[_PNG_START:] == _MARKER
