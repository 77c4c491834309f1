"""`demo`: train, evaluate, reopen and export a small detector on synthetic scenes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data import Dataset, Loader, read
from visiongarden.drawing import draw
from visiongarden.errors import UserError
from visiongarden.evaluation import Predictor, predict
from visiongarden.exporters import export
from visiongarden.models import load
from visiongarden.postprocess import Nms
from visiongarden.progress import LOGGER
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolution import resolve
from visiongarden.recipes.run_folder import free_folder
from visiongarden.recipes.running import train
from visiongarden.reporting import write_png
from visiongarden.samples import Instances
from visiongarden.scenes import make_scenes

COUNT = 600
"""Number of scenes; a fifth of them is the validation split."""

PICTURES = 12
"""Number of images on the contact sheet."""

_FRESH_PROCESS = """
import sys
import numpy
import visiongarden
from visiongarden.evaluation import Predictor

model, images, outputs = sys.argv[1:]
found = Predictor(visiongarden.load(model)).raw(numpy.load(images, allow_pickle=False))
numpy.savez(outputs, **found)
"""


def recipe(scenes: str | Path, seed: int = 0) -> Recipe:
    """Return the recipe of the demo, which takes about two minutes on two cores."""
    return resolve(
        {
            "model": {
                "backbone": {
                    "type": "CSPDarknet",
                    "depth": 0.33,
                    "width": 0.1875,
                    "levels": ["p3", "p4"],
                },
                "decoder": {"type": "FPN", "channels": 48, "levels": ["p3", "p4"]},
                "head": {"type": "AnchorFree", "bins": 8},
                "image_size": 128,
            },
            "data": {"path": str(scenes), "reader": "COCO"},
            "transforms": [
                {"type": "Mosaic", "probability": 0.15, "skip_last_epochs": 8},
                {"type": "Affine", "scale": 0.3},
                "HorizontalFlip",
                "HSV",
            ],
            "training": {
                "epochs": 26,
                "batch_size": 8,
                "optimizer": {"learning_rate": {"peak": 0.005, "warmup_epochs": 1}},
                "validate_every": 3,
                "seed": seed,
            },
        }
    )


def demo(output: str | Path = "runs/demo", seed: int = 0) -> Path:
    """Generate scenes, train a detector on them, evaluate it, reopen it and export it.

    The folder receives `model.keras`, `model.onnx`, `detections.png` (ground truth above
    predictions), `pictures/`, `curves.png`, and everything that `train` writes.

    Args:
        output: Folder of the run; numbered if it exists.
        seed: Seed of scenes, weights, order and transforms.

    Returns:
        The folder of the run.

    Raises:
        UserError: The outputs of the reopened or of the exported model differ from the model's.
    """
    start = time.monotonic()
    folder = free_folder(Path(output))
    scenes = make_scenes(folder / "scenes", COUNT, seed=seed)
    LOGGER.info(f"generated {COUNT} synthetic scenes in {scenes}")
    result = train(recipe(scenes, seed), output=folder)
    LOGGER.info(str(result.metrics))
    model_file = result.best.rename(folder / "model.keras")
    model, val = load(model_file), read(scenes, split="val")
    _check_reopened(model_file, model, val)
    _write_pictures(model, val, folder)
    exported = export(
        model, folder / "model.onnx", data=_input_images(model, val, 8), postprocess=Nms()
    )
    LOGGER.info(str(exported))
    LOGGER.info(f"done in {time.monotonic() - start:.0f} s\n")
    LOGGER.info("\n  ".join(["next steps:", *_next_commands(folder)]))
    return folder


def _check_reopened(file: Path, model: Any, val: Dataset) -> None:
    """Open the file in a fresh process and compare all outputs bit for bit.

    The registered classes of this process are unknown to it, as in the process of a user.
    """
    images = _input_images(model, val, 8)
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch) / "images.npy", Path(scratch) / "outputs.npz"
        np.save(inputs, images)
        subprocess.run(  # noqa: S603 (this interpreter, a constant program)
            [sys.executable, "-c", _FRESH_PROCESS, str(file), str(inputs), str(outputs)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        with np.load(outputs, allow_pickle=False) as arrays:
            reopened = dict(arrays)
    expected = Predictor(model).raw(images)
    if not all(np.array_equal(array, reopened[name]) for name, array in expected.items()):
        raise UserError(
            f"the outputs of {file} differ in a fresh process", rule="the same outputs, bit for bit"
        )
    count = sum(array.size for array in expected.values())
    LOGGER.info(f"saved {file}; reopened in a fresh process: all {count:,} outputs are identical")


def _write_pictures(model: Any, val: Dataset, folder: Path) -> None:
    """Write the annotated images, and a sheet of ground truth above predictions."""
    indices = range(PICTURES)
    images = [np.asarray(val.load(i).image) for i in indices]
    predictions = predict(model, images)
    pairs = []
    (folder / "pictures").mkdir()
    for i, image, prediction in zip(indices, images, predictions, strict=True):
        large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        predicted = draw(large, _enlarged(prediction), val.class_map)
        write_png(folder / "pictures" / f"{i:03}.png", predicted)
        ground_truth = draw(large, _enlarged(val[i].instances), val.class_map)
        pairs.append(
            np.vstack([ground_truth, np.full((6, large.shape[1], 3), 255, np.uint8), predicted])
        )
    rows = [np.hstack(pairs[i : i + 6]) for i in range(0, len(pairs) // 6 * 6, 6)]
    write_png(folder / "detections.png", np.vstack(rows))
    LOGGER.info(f"pictures: {folder / 'detections.png'} (ground truth above, predictions below)")
    LOGGER.info(f"curves: {folder / 'curves.png'}")


def _enlarged(instances: Instances) -> Instances:
    """Return the objects of an image of twice the size."""
    height, width = instances.size
    return instances.warp(np.diag([2.0, 2.0, 1.0]), (2 * height, 2 * width))


def _input_images(model: Any, val: Dataset, count: int) -> np.ndarray:
    loader = Loader(val, model.image_size, min(count, len(val)), resize=model.resize)
    batch = next(loader.epoch(0))
    return batch.images


def _next_commands(folder: Path) -> tuple[str, ...]:
    file, image = folder / "model.keras", folder / "scenes" / "images" / f"{COUNT - 1:05}.png"
    return (
        f"visiongarden show {file}",
        f"visiongarden predict {file} {image} --output predictions",
        "visiongarden train YOUR_DATA training.epochs=50 model.decoder.type=FPN",
    )
