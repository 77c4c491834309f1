"""Mean average precision by COCO's protocol, computed by faster-coco-eval."""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.backends.garbage import uncollected
from visiongarden.types import ClassMap, Detections, Example

FIGURES = (
    "AP",
    "AP50",
    "AP75",
    "APs",
    "APm",
    "APl",
    "AR1",
    "AR10",
    "AR100",
    "ARs",
    "ARm",
    "ARl",
)
"""COCO's twelve figures, in the order of its own summary."""


class CocoMeanAveragePrecision:
    """Collects detections and truths of images, and judges them together.

    All figures are from 0 to 1, equal to pycocotools'; NaN where there is no truth to judge by (as
    "APl" in a data set without large boxes). An object is small, medium or large by the area that
    its file gives, as that of its mask, or by its box where the file gives none; boxes marked
    `crowd` are ignored as COCO ignores them.

    Args:
        class_map: names of the classes.
    """

    def __init__(self, class_map: ClassMap) -> None:
        self.class_map = class_map
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self._images: list[dict[str, Any]] = []
        self._truths: list[dict[str, Any]] = []
        self._found: list[np.ndarray] = []

    def update(self, found: Detections, truth: Example) -> None:
        """Adds one image.

        Args:
            found: in pixels of the original image.
            truth: the image's boxes, in the same pixels.
        """
        image_id = len(self._images) + 1
        height, width = truth.size or (0, 0)
        self._images.append({"id": image_id, "height": height, "width": width})
        crowd = truth.crowd if truth.crowd is not None else np.zeros(len(truth.boxes), bool)
        boxes = _xywh(truth.boxes)
        areas = boxes[:, 2] * boxes[:, 3]
        if truth.area is not None:
            areas = np.where(np.isfinite(truth.area), truth.area, areas)
        for box, index, many, area in zip(boxes, truth.classes, crowd, areas, strict=True):
            self._truths.append(
                {
                    "id": len(self._truths) + 1,
                    "image_id": image_id,
                    "category_id": int(index) + 1,
                    "bbox": box.tolist(),
                    "area": float(area),
                    "iscrowd": int(many),
                }
            )
        rows = np.empty((len(found), 7), np.float64)
        rows[:, 0], rows[:, 1:5] = image_id, _xywh(found.boxes)
        rows[:, 5], rows[:, 6] = found.scores, found.classes + 1
        self._found.append(rows)

    def result(self) -> dict[str, float]:
        """COCO's twelve figures."""
        evaluation = self._evaluate()
        if evaluation is None:
            return dict.fromkeys(FIGURES, float("nan"))
        values = [float(value) for value in evaluation.stats[: len(FIGURES)]]
        return {n: v if v >= 0 else float("nan") for n, v in zip(FIGURES, values, strict=True)}

    def per_class(self) -> dict[str, dict[str, float]]:
        """For each class's name "AP" and "AP50"; NaN where the class has no box."""
        evaluation = self._evaluate()
        figures = {}
        for index, name in enumerate(self.class_map.names):
            rows = None
            if evaluation is not None:
                # (IoU thresholds, recalls, classes, areas, most detections)
                rows = np.asarray(evaluation.eval["precision"])[:, :, index, 0, -1]
            figures[name] = {"AP": _mean(rows), "AP50": _mean(None if rows is None else rows[0])}
        return figures

    def _evaluate(self) -> Any:
        """The evaluation, or None where there is nothing to judge by."""
        if not self._truths:
            return None
        from faster_coco_eval import COCO, COCOeval_faster

        with uncollected():
            return self._run(COCO, COCOeval_faster)

    def _run(self, COCO: Any, COCOeval_faster: Any) -> Any:  # noqa: N803 (their names)
        names = enumerate(self.class_map.names)
        rows = {
            "images": self._images,
            "categories": [{"id": i + 1, "name": name} for i, name in names],
        }
        truth = COCO(rows | {"annotations": self._truths})
        # Not by `loadRes`, which gives each detection an outline too: half of all the time.
        results = COCO(rows | {"annotations": _detections(np.concatenate(self._found))})
        evaluation = COCOeval_faster(truth, results, "bbox", print_function=lambda *_: None)
        evaluation.run()
        return evaluation


def _detections(rows: np.ndarray) -> list[dict[str, Any]]:
    """COCO's objects of rows image, x, y, width, height, score, category."""
    areas = rows[:, 3] * rows[:, 4]
    return [
        {
            "id": number,
            "image_id": int(image),
            "category_id": int(category),
            "bbox": box,
            "area": area,
            "score": score,
            "iscrowd": 0,
        }
        for number, (image, box, score, category, area) in enumerate(
            zip(
                rows[:, 0].tolist(),
                rows[:, 1:5].tolist(),
                rows[:, 5].tolist(),
                rows[:, 6].tolist(),
                areas.tolist(),
                strict=True,
            ),
            start=1,
        )
    ]


def _xywh(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _mean(precision: np.ndarray | None) -> float:
    known = precision[precision > -1] if precision is not None else np.zeros(0)
    return float(known.mean()) if len(known) else float("nan")
