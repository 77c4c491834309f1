"""Evaluation of a model on a dataset with the metrics of its task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.backends.engine import engine
from visiongarden.data import Loader
from visiongarden.data.batch_targets import check_targets
from visiongarden.data.batches import no_batch, pairs_of
from visiongarden.data.channels import check_images
from visiongarden.data.readers import opened
from visiongarden.data.readers import read as read_dataset
from visiongarden.data.shares import WHOLE, Share
from visiongarden.errors import DataError, UserError, nearest
from visiongarden.evaluation.class_names import Aligned, aligned, classes_of
from visiongarden.evaluation.gathering import Evaluated, gathered
from visiongarden.evaluation.predictor import Predictor
from visiongarden.evaluation.result import EvaluationResult
from visiongarden.evaluation.validation_loss import LossPredictor
from visiongarden.losses import Loss
from visiongarden.metrics.several import Metrics
from visiongarden.models import as_model
from visiongarden.models.kinds import OfWholeImages, WithClassMap, pixel_values_of
from visiongarden.models.precision import model_in_precision
from visiongarden.progress import LOGGER
from visiongarden.tasks import COCO_NMS, Task, resize_of, task_of
from visiongarden.types import ClassMap, ImageSize

_DATA_FIELDS = ("path", "reader", "channels", "split", "invalid_boxes", "class_names")
"""Fields of a mapping that describes a dataset; those of `data` in a recipe have the same names."""


def evaluate(
    model: Any,
    data: Any,
    *,
    split: str = "val",
    metrics: Sequence[Any] = (),
    reader: Any = "auto",
    invalid_boxes: str = "error",
    channels: Any = "auto",
    class_names: str | None = None,
    batch_size: int = 16,
    precision: str | None = None,
    predictor: Predictor | None = None,
) -> EvaluationResult:
    """Evaluate a model with the metrics of its task, in pixels of the original images.

    Classes of model and dataset are matched by name and may have different orders. If the files of
    a dataset only name the classes that occur (VOC, CSV, class folders) and the model knows all of
    them, the class map of the model is used. For a dataset without class names (YOLO),
    `class_names="model"` uses those of the model.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`, or the path of a model
            file.
        data: Path of a dataset, or a list of datasets as for `vg.read`; a mapping with `path` and
            optionally `reader`, `channels`, `split`, `invalid_boxes` and `class_names`;
            annotations that `vg.read` returned; or batches of `(images, targets)`: our loaders,
            generators, `tf.data.Dataset`, `keras.utils.PyDataset`, the `DataLoader` of PyTorch and
            Grain's datasets. There, images are (batch, height, width, channels) of the model's
            type, and targets are those of a batch of our loaders; class ids are those of the model,
            results are in pixels of these images, and objects with class -1 are padding.
        split: Name of the split, for a path or a mapping.
        metrics: Further metrics, besides those of the task: `vg.metrics.Metric` of your own, which
            receive lists of samples and results, or `keras.metrics.Metric`, which receive arrays.
        reader: Reader of the dataset at a path, as in `vg.read`.
        invalid_boxes: What to do with invalid boxes at a path: "error" or "drop".
        channels: Channels of the images at a path, see `visiongarden.data.Channels`.
        class_names: "model" or "data": match class i of the model with class i of the dataset
            whatever the names are, and show the names of this side.
        batch_size: Number of images per step.
        precision: Dtype policy of the computation: "float32", "mixed_bfloat16" or "mixed_float16".
            Defaults to float32 for the path of a model file, whatever the model was trained in, and
            to that of the model otherwise.
        predictor: Predictor to use; by default one at the model's image size that keeps every
            detection the protocol counts. Its model is not changed by `precision`.

    Returns:
        The metrics of all classes and of each class.

    Raises:
        UserError: The classes of model and dataset differ, the dataset is for another task, a
            metric lacks a method, or an argument is not valid.
        DataError: The dataset cannot be read, or an image cannot be decoded.

    Example:
        >>> result = vg.evaluate("best.keras", "cells", split="test")  # doctest: +SKIP
        >>> result["AP50"]  # doctest: +SKIP
        0.828
    """
    network = as_model(model) if predictor else model_in_precision(model, precision)
    data = _opened(
        network, data, split=split, reader=reader, invalid_boxes=invalid_boxes,
        channels=channels, class_names=class_names,
    )  # fmt: skip
    return _evaluate(network, data, WHOLE, metrics, class_names, batch_size, predictor)


def evaluate_together(
    model: Any,
    data: Any,
    *,
    metrics: Sequence[Any] = (),
    batch_size: int = 16,
    predictor: Predictor | None = None,
) -> EvaluationResult:
    """Evaluate a model in all processes of a run, each of which reads other batches.

    Args:
        model: As in `evaluate`; equal in all processes.
        data: As in `evaluate`.
        metrics: As in `evaluate`.
        batch_size: As in `evaluate`.
        predictor: As in `evaluate`.

    Returns:
        The result of `evaluate` in one process, in every process.
    """
    network = as_model(model) if predictor else model_in_precision(model, None)
    share = Share(engine().rank, engine().processes, "batches")
    data = _opened(network, data)
    return _evaluate(network, data, share, metrics, None, batch_size, predictor)


def _opened(
    network: Any,
    data: Any,
    *,
    split: str = "val",
    reader: Any = "auto",
    invalid_boxes: str = "error",
    channels: Any = "auto",
    class_names: str | None = None,
) -> Any:
    """Return annotations, read if `data` is a path or describes datasets; batches as they are."""
    options = {"split": split, "reader": reader, "invalid_boxes": invalid_boxes}
    if isinstance(data, str | Path):
        data = {"path": data, "channels": channels} | options
    if _is_list_of_datasets(data):
        data = read_dataset(data, **options).with_channels(channels)
    if isinstance(data, Mapping):
        data = _read(network, data, split, class_names)
    return data


def _evaluate(
    network: Any,
    data: Any,
    share: Share,
    metrics: Sequence[Any],
    class_names: str | None,
    batch_size: int,
    predictor: Predictor | None,
) -> EvaluationResult:
    """Evaluate a model on the share of the batches that this process reads."""
    # Annotations have other members than the class map, so their type is not narrowed.
    is_annotated = isinstance(data, WithClassMap)
    if not is_annotated:
        return _evaluate_batches(network, data, metrics, predictor, batch_size)
    _check_task(network, data)
    task = task_of(network)
    classes = aligned(network, task.class_map(data), class_names)
    if isinstance(network, OfWholeImages):
        return _evaluate_imported(network, data, metrics, classes)
    measured = metrics_of(task, classes.class_map, metrics)
    predictor = predictor or Predictor(network, postprocess=task.postprocess(network))
    rows, resize = min(batch_size, max(len(data), 1)), resize_of(network)
    loader = task.loader(data, predictor.image_size, rows, resize=resize)
    loss = predictor if isinstance(predictor, LossPredictor) else None
    share = share if isinstance(loader, Loader) else WHOLE
    batches = loader.epoch(0) if share.processes == 1 else loader.epoch(0, share=share)
    numbers = [number for number in range(len(loader)) if share.takes(number)]
    evaluated = []
    for number, batch in zip(numbers, batches, strict=True):
        count = len(batch.images)
        # The last batch of an epoch may be shorter; rows of padding are dropped again.
        found = predictor(filled(batch.images, loader.batch_size))[:count]
        results = in_originals(task, classes, found, batch.info)
        # With classes in another order the targets are not those of the model.
        part = None
        if loss is not None and classes.order is None:
            loss.add(batch.targets, count)
            part = loss.parts[-1]
        if share.processes > 1:
            evaluated.append(Evaluated(number, results, part))
            continue
        measure_images(measured, task, data, number * rows, results)
    if share.processes == 1:
        return EvaluationResult.of(task, measured, len(data), classes.note)

    def measure(found: list[Evaluated]) -> EvaluationResult:
        for each in found:
            measure_images(measured, task, data, each.number * rows, each.results)
        if loss is not None:
            loss.parts = [each.loss for each in found if each.loss is not None]
        return EvaluationResult.of(task, measured, len(data), classes.note)

    whole: EvaluationResult = gathered(evaluated, len(loader), measure)
    return whole


def in_originals(task: Task, classes: Aligned, results: Sequence[Any], info: Any) -> list[Any]:
    """Return the results of a batch in pixels of the original images, in classes of the dataset.

    Args:
        task: Task of the model.
        classes: Classes of model and dataset.
        results: Results in pixels of the model's input.
        info: `BatchInfo` of the batch.
    """
    originals = []
    for row, result in enumerate(results):
        height, width = (int(side) for side in info.sizes[row])
        found = task.to_original(result, info.placement(row), (height, width))
        originals.append(classes.found(found))
    return originals


def measure_images(
    measured: Metrics, task: Task, data: Any, first: int, results: Sequence[Any]
) -> None:
    """Add the results of a batch whose first image has a position in the dataset."""
    places = range(first, first + len(results))
    measured.update([task.ground_truth(data, index) for index in places], results)


def metrics_of(task: Task, class_map: ClassMap, others: Sequence[Any]) -> Metrics:
    """Return the metrics of the task and further ones."""
    if isinstance(others, str | bytes) or not isinstance(others, Sequence):
        raise UserError(
            f"metrics is of type {type(others).__name__}", rule="a list of metrics",
            fix="metrics=[metric]",
        )  # fmt: skip
    return Metrics([*task.metrics(class_map), *others], task.arrays)


def _is_list_of_datasets(data: Any) -> bool:
    """Return whether `data` is a list of paths and mappings, instead of batches."""
    return (
        isinstance(data, list | tuple)
        and len(data) > 0
        and all(isinstance(each, str | Path | Mapping) for each in data)
    )


def _evaluate_imported(
    model: Any, dataset: Any, metrics: Sequence[Any], classes: Aligned
) -> EvaluationResult:
    """Evaluate an imported network, which does its own resizing and suppression."""
    task = task_of(model)
    measured = metrics_of(task, classes.class_map, metrics)
    for index in range(len(dataset)):
        found = _of_imported(model, dataset.load(index).image)
        measured.update([task.ground_truth(dataset, index)], [classes.found(found)])
    return EvaluationResult.of(task, measured, len(dataset), classes.note)


def _of_imported(model: Any, image: Any) -> Any:
    # Every result counts in an evaluation; a network that predicts classes ranks all of them.
    if not model.heads:
        return model.predict_image(image)[0]
    return model.detect_image(image, COCO_NMS.score_threshold, clip=True)


def _evaluate_batches(
    model: Any, batches: Any, metrics: Sequence[Any], predictor: Predictor | None, batch_size: int
) -> EvaluationResult:
    """Evaluate on an iterable of `(images, targets)`."""
    task = task_of(model)
    classes = classes_of(model)
    measured = metrics_of(task, classes, metrics)
    if not isinstance(model, OfWholeImages):
        predictor = predictor or Predictor(model, postprocess=task.postprocess(model))
    seen = 0
    for number, (images, targets) in enumerate(pairs_of(batches, pixel_values_of(model).dtype)):
        size = (int(images.shape[1]), int(images.shape[2]))
        check_targets(targets, size, len(classes.names), f"batch {number}")
        found = _found(model, task, images, targets, predictor, batch_size)
        seen += measure_batch(measured, task, targets, size, seen, found)
    if not seen:
        raise no_batch()
    return EvaluationResult.of(task, measured, seen)


def measure_batch(
    measured: Metrics,
    task: Task,
    targets: Mapping[str, np.ndarray],
    size: ImageSize,
    first: int,
    results: Iterable[Any],
) -> int:
    """Add the results of a batch that contains its ground truth, and return their number.

    Args:
        measured: Metrics to add to.
        task: Task of the model.
        targets: Targets of the batch.
        size: (height, width) of the images of the batch.
        first: Number of images before the batch.
        results: Results in pixels of the images of the batch.
    """
    count = 0
    for row, result in enumerate(results):
        measured.update([task.ground_truth_of(targets, row, size, first + row)], [result])
        count += 1
    return count


def _found(
    model: Any,
    task: Task,
    images: np.ndarray,
    targets: Mapping[str, np.ndarray],
    predictor: Predictor | None,
    batch_size: int,
) -> Iterator[Any]:
    size, resize = (int(images.shape[1]), int(images.shape[2])), resize_of(model)
    if predictor is None:
        for image in images:
            yield _of_imported(model, image)
        return
    for start in range(0, len(images), batch_size):
        chunk = images[start : start + batch_size]
        placed = [resize.place(image, predictor.image_size) for image in chunk]
        canvas = np.stack([image for image, _ in placed])
        rows = predictor(filled(canvas, min(batch_size, len(images))))
        # Targets are in pixels of the images; those of resized images have other ones.
        if isinstance(predictor, LossPredictor) and size == predictor.image_size:
            few = {name: array[start : start + batch_size] for name, array in targets.items()}
            predictor.add(few, len(chunk))
        for found, (_, placement) in zip(rows, placed, strict=False):
            yield task.to_original(found, placement, size)


def make_validator(
    dataset: Any,
    batch_size: int = 16,
    metrics: Sequence[Any] = (),
    names: Sequence[str] | None = None,
    loss: Loss | None = None,
) -> Callable[[Any], dict[str, float]]:
    """Return a function that evaluates a model on a dataset, for `fit`.

    Args:
        dataset: Annotated images.
        batch_size: Number of images per step.
        metrics: Further metrics, as in `evaluate`.
        names: Names of the values to return, such as "AP" or "AP/cat"; None for the main metrics of
            the model's task.
        loss: Loss to compute as well, "val_loss".

    Returns:
        A function that takes a model and returns these values by name.
    """
    predictors: dict[int, LossPredictor] = {}
    warned = False

    def validate(model: Any) -> dict[str, float]:
        nonlocal warned
        # One for each model, and only of the last one: it keeps the compiled loss.
        measured = None if loss is None else predictors.get(id(model)) or LossPredictor(model, loss)
        predictors.clear()
        if measured is not None:
            predictors[id(model)] = measured
            measured.reset()
        evaluation = evaluate_together(
            model, dataset, metrics=metrics, batch_size=batch_size, predictor=measured
        )
        found = evaluation.values
        listed = task_of(model).metric_names if names is None else names
        values = {name: found[name] for name in listed if name in found}
        if measured is None:
            return values
        result = measured.result()
        if not result and not warned:
            warned = True
            LOGGER.warning(
                "val_loss is not computed: the targets have the classes in another order than the "
                "model, or the images have another size than the model"
            )
        return values | result

    return validate


def _read(model: Any, data: Mapping[str, Any], split: str, class_names: str | None) -> Any:
    """Read the dataset that a mapping describes, with the class names of the model if needed."""
    for name in data:
        if name not in _DATA_FIELDS:
            raise UserError(f"data has no field {name!r}", fix=nearest(str(name), _DATA_FIELDS))
    if data.get("path") is None:
        raise UserError("data has no path", rule="the path of a dataset", fix='{"path": "cells"}')
    task, own = task_of(model), model.class_map
    root, reader = opened(data["path"], data.get("reader", "auto"))
    # What all datasets of the format have is not all that this one has: COCO's may have masks.
    if reader.annotations and not reader.annotations & set(task.needs):
        task.check_fields(reader.annotations, root)
    others = ("path", "reader", "channels")
    fields = {"split": split} | {n: value for n, value in data.items() if n not in others}

    def read(names: Any) -> Any:
        return read_dataset(data["path"], reader=reader, **({"class_names": names} | fields))

    try:
        dataset = read(None)
    except DataError:
        if class_names != "model" or own is None:
            raise
        dataset = read(own.names)
    # A class that does not occur in the split is absent from the dataset's class map, so the class
    # ids would shift against those of the model.
    missing = own is not None and set(dataset.class_map.names) < set(own.names)
    if missing and not reader.lists_classes and "class_names" not in fields:
        dataset = read(own.names)
    return dataset.with_channels(data.get("channels", "auto"))


def _check_task(model: Any, dataset: Any) -> None:
    task_of(model).check(dataset)
    check_images(dataset, pixel_values_of(model))


def filled(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Pad the last batch with black images.

    All batches have the same size then, so the model is compiled once.
    """
    missing = batch_size - len(images)
    if not missing:
        return images
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)])
