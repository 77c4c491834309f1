"""Ground truth and results of a few images, as metrics and tasks take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.types import ClassMap, LabelMap, Ranking, Segments, Values

SIZE = (64, 96)
NAMES = ("first", "second", "third")
_COUNT = 5


def results() -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Yield (what the results are, ground truth, results), each of five images."""
    rng = np.random.default_rng(0)
    infos = [ImageInfo(index, None, SIZE) for index in range(_COUNT)]
    classes = [index % len(NAMES) for index in range(_COUNT)]
    labels = np.eye(len(NAMES), dtype=np.float32)[classes]
    scores = _scores(classes)
    orders = [np.argsort(-row, kind="stable") for row in scores]
    map_ = ClassMap(NAMES)
    yield (
        "ranked classes",
        [Sample(info, labels=row) for info, row in zip(infos, labels, strict=True)],
        [
            Ranking(order.astype(np.int32), row[order], class_map=map_)
            for order, row in zip(orders, scores, strict=True)
        ],
    )
    yield (
        "classes of pixels",
        [Sample(info, semantic=rng.integers(0, 3, SIZE).astype(np.int32)) for info in infos],
        [
            Segments(
                rng.integers(0, 3, SIZE).astype(np.uint8), np.ones(SIZE, np.float32), class_map=map_
            )
            for _ in infos
        ],
    )
    yield (
        "values",
        [Sample(info, labels=rng.normal(size=3).astype(np.float32)) for info in infos],
        [Values(rng.normal(size=3).astype(np.float32), LabelMap(NAMES)) for _ in infos],
    )
    # Last, because a metric of rankings may run on boxes, which have classes and scores, too.
    yield (
        "boxes",
        [Sample(info, instances=_objects(rng, index % 3)) for index, info in enumerate(infos)],
        [_objects(rng, 2, scores=True).replace(class_map=map_) for _ in infos],
    )


def arrays() -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Yield the arrays of five images, as a `keras.metrics.Metric` takes them."""
    rng = np.random.default_rng(0)
    classes = np.arange(_COUNT) % len(NAMES)
    labels = np.eye(len(NAMES), dtype=np.float32)[classes]
    scores = _scores(list(classes))
    yield "labels and scores", list(labels), list(scores)
    yield "classes and scores", list(classes), list(scores)
    yield "values", list(rng.normal(size=(_COUNT, 1))), list(rng.normal(size=(_COUNT, 1)))


def _scores(classes: list[int]) -> np.ndarray:
    """Return scores that are right for the first two images and wrong for the others."""
    scores = np.random.default_rng(1).dirichlet(np.ones(len(NAMES)), _COUNT).astype(np.float32)
    for image, true in enumerate(classes):
        best = true if image < 2 else (true + 1) % len(NAMES)
        scores[image, best] += 1
    total: np.ndarray = scores / scores.sum(axis=1, keepdims=True)
    return total


def _objects(rng: np.random.Generator, count: int, scores: bool = False) -> Instances:
    corners = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 24, (count, 2))], axis=1)
    return Instances(
        SIZE,
        Boxes(boxes),
        np.arange(count) % len(NAMES),
        scores=rng.uniform(0.1, 1, count).astype(np.float32) if scores else None,
    )
