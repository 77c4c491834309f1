"""Mean average precision by COCO's protocol, computed by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from visiongarden.backends.garbage import gc_paused
from visiongarden.errors import UserError
from visiongarden.metrics.metric import refuse_weights
from visiongarden.samples import Boxes, Instances, Sample
from visiongarden.types import ClassMap

METRICS = (
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
"""Names of COCO's twelve metrics, in the order of `COCOeval.summarize`."""


class CocoMeanAveragePrecision:
    """Mean average precision and recall of detections, as pycocotools computes them.

    `update_state` collects detections and ground truth; `result` evaluates all images together. All
    metrics are from 0 to 1 and equal those of pycocotools; a metric is NaN if no ground truth falls
    into its group (for example "APl" in a dataset without large boxes). An
    object is small, medium or large by the area given in its annotation file (for COCO the area of
    the mask), or by the area of its box if it is absent. Boxes marked `crowd` are ignored as
    COCO ignores them.

    Args:
        class_map: Names of the classes.
        name: Name of the metric.
        masks: Whether the masks are compared instead of the boxes; the names of the metrics then
            begin with "mask_".
    """

    def __init__(self, class_map: ClassMap, name: str = "coco", masks: bool = False) -> None:
        self.class_map, self.name, self.masks = class_map, name, masks
        self.prefix = "mask_" if masks else ""
        self.reset_state()

    def reset_state(self) -> None:
        """Remove all collected images."""
        self._images: list[dict[str, Any]] = []
        self._ground_truths: list[dict[str, Any]] = []
        self._found: list[np.ndarray] = []
        self._masks: list[dict[str, Any]] = []

    def update_state(
        self, y_true: Sequence[Sample], y_pred: Sequence[Instances], sample_weight: None = None
    ) -> None:
        """Add the ground truth and the detections of images.

        Args:
            y_true: Ground truth of each image in its original pixels; boxes are axis-aligned.
            y_pred: Detections of each image, in the same pixels.
            sample_weight: COCO's protocol has no weights, so only None is accepted.

        Raises:
            UserError: The detections lack boxes, scores or classes, their boxes are rotated, or
                weights are given.
        """
        refuse_weights(self.name, sample_weight)
        for ground_truth, found in zip(y_true, y_pred, strict=True):
            self._add(found, ground_truth)

    def merge_state(self, metrics: Sequence[Self]) -> None:
        """Add the images that other metrics of this class have collected."""
        for other in metrics:
            images, objects = len(self._images), len(self._ground_truths)
            self._images += [row | {"id": row["id"] + images} for row in other._images]
            self._ground_truths += [
                row | {"id": row["id"] + objects, "image_id": row["image_id"] + images}
                for row in other._ground_truths
            ]
            shift = np.array([images, 0, 0, 0, 0, 0, 0], np.float64)
            self._found += [rows + shift for rows in other._found]
            self._masks += other._masks

    def _add(self, found: Instances, ground_truth: Sample) -> None:
        boxes, scores, classes = _arrays(found)
        image_id = len(self._images) + 1
        height, width = ground_truth.info.original_size
        self._images.append({"id": image_id, "height": height, "width": width})
        objects = ground_truth.instances
        crowd = objects.crowd if objects.crowd is not None else np.zeros(len(objects), bool)
        annotated = _xywh(np.asarray(objects.boxes).reshape(-1, 4))
        areas = annotated[:, 2] * annotated[:, 3] if objects.area is None else objects.area
        labels = (
            objects.classes if objects.classes is not None else np.zeros(len(objects), np.int32)
        )
        rles, of_masks = self._encoded(objects, f"the ground truth of image {image_id}")
        if self.masks and objects.area is None and objects.masks is not None:
            areas = of_masks
        for box, index, many, area, rle in zip(annotated, labels, crowd, areas, rles, strict=True):
            self._ground_truths.append(
                rle
                | {
                    # Ids start at 1: COCO's evaluation takes a match with id 0 for no match.
                    "id": len(self._ground_truths) + 1,
                    "image_id": image_id,
                    "category_id": int(index) + 1,
                    "bbox": box.tolist(),
                    "area": float(area),
                    "iscrowd": int(many),
                }
            )
        detections = np.empty((len(found), 7), np.float64)
        detections[:, 0], detections[:, 1:5] = image_id, _xywh(boxes)
        detections[:, 5], detections[:, 6] = scores, classes + 1
        self._found.append(detections)
        if self.masks:
            encoded, areas = self._encoded(found, f"the detections of image {image_id}")
            # As COCO's `loadRes` does: the size of a detection is that of its mask.
            self._masks += [
                row | {"area": area} for row, area in zip(encoded, areas.tolist(), strict=True)
            ]

    def _encoded(self, objects: Instances, whose: str) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Return {"segmentation": run lengths} and the area in pixels of each object's mask.

        Where boxes are compared, the dicts are empty and the areas zeros.
        """
        if not self.masks:
            return [{}] * len(objects), np.zeros(len(objects))
        if objects.masks is None and len(objects):
            raise UserError(
                f"{whose} have no masks",
                rule="Instances with masks, for the metrics of masks",
                fix="instances.replace(masks=vg.samples.Masks.from_bitmaps(bitmaps))",
            )
        if objects.masks is None:
            return [], np.zeros(0)
        encoded, areas = objects.masks.rle_and_area()
        return [{"segmentation": one} for one in encoded], areas

    def result(self) -> dict[str, float]:
        """Return COCO's twelve metrics by name."""
        evaluation = self._evaluate()
        if evaluation is None:
            return {self.prefix + name: float("nan") for name in METRICS}
        values = [float(value) for value in evaluation.stats[: len(METRICS)]]
        return {
            self.prefix + name: value if value >= 0 else float("nan")
            for name, value in zip(METRICS, values, strict=True)
        }

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return AP and AP50 of each class, by class name; NaN for a class without objects."""
        evaluation = self._evaluate()
        metrics = {}
        for index, name in enumerate(self.class_map.names):
            rows = None
            if evaluation is not None:
                # Precision has the axes (IoU threshold, recall, class, area range, maximum
                # detections) and is -1 where the class has no ground truth. Area range 0 is "all",
                # maximum -1 is 100 detections.
                rows = np.asarray(evaluation.eval["precision"])[:, :, index, 0, -1]
            first = None if rows is None else rows[0]
            metrics[name] = {
                f"{self.prefix}AP": _mean(rows), f"{self.prefix}AP50": _mean(first),
            }  # fmt: skip
        return metrics

    def _evaluate(self) -> Any:
        """Run faster-coco-eval on the collected images; return None if there is no ground truth."""
        if not self._ground_truths:
            return None
        from faster_coco_eval import COCO, COCOeval_faster

        # pycocotools' format is one dict per object. The garbage collector would walk through all
        # of them again and again and free none.
        with gc_paused():
            return self._run(COCO, COCOeval_faster)

    def _run(self, COCO: Any, COCOeval_faster: Any) -> Any:  # noqa: N803 (their names)
        names = enumerate(self.class_map.names)
        rows = {
            "images": self._images,
            "categories": [{"id": i + 1, "name": name} for i, name in names],
        }
        ground_truth = COCO(rows | {"annotations": self._ground_truths})
        # Not `COCO.loadRes`, which also builds a polygon for each detection; that takes half of the
        # time of the whole evaluation.
        found = _detections(np.concatenate(self._found))
        if self.masks:
            found = [row | mask for row, mask in zip(found, self._masks, strict=True)]
        results = COCO(rows | {"annotations": found})
        kind = "segm" if self.masks else "bbox"
        evaluation = COCOeval_faster(ground_truth, results, kind, print_function=lambda *_: None)
        evaluation.run()
        return evaluation


def _arrays(found: Instances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes, scores and classes of detections."""
    boxes, scores, classes = found.boxes, found.scores, found.classes
    if isinstance(boxes, Boxes) and scores is not None and classes is not None:
        return np.asarray(boxes), scores, classes
    fields = {"boxes": boxes, "scores": scores, "classes": classes}
    present = [type(v).__name__ if n == "boxes" else n for n, v in fields.items() if v is not None]
    raise UserError(
        "the detections cannot be evaluated",
        rule="Boxes, scores and classes",
        received=", ".join(present) or "none of these",
        fix="instances.replace(boxes=vg.samples.Boxes(boxes), classes=classes, scores=scores)",
    )


def _detections(rows: np.ndarray) -> list[dict[str, Any]]:
    """Convert rows (image, x, y, width, height, score, category) into COCO's annotation dicts."""
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
