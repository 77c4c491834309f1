"""Detection task: boxes with classes and scores, evaluated by the COCO protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.backbones import CSPDarknet
from visiongarden.data.rows import upright
from visiongarden.data.targets import object_targets
from visiongarden.decoders import PathAggregation
from visiongarden.heads import AnchorFree
from visiongarden.metrics import CocoMeanAveragePrecision, Metric
from visiongarden.models import Detector
from visiongarden.models.kinds import needs_nms
from visiongarden.postprocess import Nms, suppression, to_original
from visiongarden.postprocess.nms import Share
from visiongarden.registry import register
from visiongarden.samples import Boxes, ImageInfo, Instances, RotatedBoxes, Sample
from visiongarden.tasks.box_examples import box_match, box_targets, invalid_boxes
from visiongarden.tasks.box_parity import compare_boxes, in_order_of
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity
from visiongarden.tasks.prediction_files import PredictionFiles
from visiongarden.tasks.task import Defaults, Task, invalid_scores, model_fields, target
from visiongarden.terminal import counted
from visiongarden.transforms import HSV, Affine, HorizontalFlip, Mosaic, Transform
from visiongarden.types import ClassMap, ImageSize, Placement

COCO_NMS = Nms(score_threshold=0.001, multi_label=True)
"""NMS of the COCO protocol: nearly all detections count, and a box may have several classes."""

SMALL_DATASET = 192
"""Images in the smallest dataset that has enough steps at the default batch size and epochs."""

_TINY_DATASET = 64
"""Images below which mosaics and strong changes of scale hinder more than they help."""

_LAST_EPOCHS = 10
"""Epochs at the end of a run without mosaics (Ge et al. 2021, YOLOX, has 15 of 300)."""


class DetectionFiles(PredictionFiles):
    """Result files of detections: boxes with classes and scores."""

    files = ("detections.json",)

    def row(self, file: Path, found: Instances) -> dict[str, Any]:
        """Return `detections`, each with class, score and box (xyxy in pixels).

        Rotated boxes, masks, keypoints and further columns are those of `Instances.to_dict`.
        """
        rows = []
        for row in found.to_dict()["detections"]:
            named = {"class": self.name(row.pop("class_index")), "score": round(row["score"], 4)}
            for name in ("box", "rotated_box"):
                if name in row:
                    row[name] = [round(value, 2) for value in row[name]]
            rows.append(named | {key: row[key] for key in row if key not in named})
        return {"detections": rows}

    def found(self) -> str:
        """Return the number of detections, or the best score if all are below the threshold."""
        counts = [len(row["detections"]) for row in self.rows]
        if sum(counts):
            where = counted(sum(map(bool, counts)), "image")
            return f"{counted(sum(counts), 'detection')} in {where}"
        return (
            f"no detection with a score above {self.threshold:g}; the best score is "
            f"{max(self.best, default=0.0):.3g}"
        )


@register
class DetectionTask(Task):
    """Object detection: a box, a class and a score for each object."""

    name = "detection"
    model = Detector
    needs: ClassVar[tuple[str, ...]] = ("boxes",)
    outputs: ClassVar[tuple[str, ...]] = ("boxes", "scores")
    monitor = "AP"
    shown: ClassVar[tuple[str, ...]] = ("AP", "AP50")
    title = "COCO metrics"
    score: Share = 0.25

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Suit every dataset with boxes, whatever else it contains."""
        return 1.0 if "boxes" in fields else 0.0

    def defaults(self) -> Defaults:
        """Return a CSP backbone of depth 0.33 and width 0.25 and an anchor-free head.

        With path aggregation as decoder, they have 3 million parameters.
        """
        return Defaults(
            model_fields(
                CSPDarknet(depth=0.33, width=0.25),
                PathAggregation(depth=0.33),
                AnchorFree(num_classes=1),
            )
        )

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return the transforms of YOLOv8's published configuration, adapted to small datasets.

        Datasets of fewer than 64 images have no mosaics, and images are scaled by 20 % instead of
        50 % at most: both show objects smaller than they are, and the short runs on such datasets
        do not learn all sizes. On 16 photographs with 38 of 80 classes, 300 epochs reached AP 0.57
        without mosaics and 0.68 with the smaller scale, too. In other runs the last ten epochs show
        whole images. They suit 60 epochs; in a run of 300 epochs the cosine has lowered the
        learning rate below 1.5 % of its peak by then, so a sixth of the epochs is used for datasets
        of fewer than 192 images.
        """
        if images is not None and images < _TINY_DATASET:
            return (Affine(scale=0.2), HorizontalFlip(), HSV())
        last = _LAST_EPOCHS
        if images is not None and epochs is not None and images < SMALL_DATASET:
            last = max(last, epochs // 6)
        return (Mosaic(skip_last_epochs=last), Affine(), HorizontalFlip(), HSV())

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return "boxes" (capacity, 4), "classes" (capacity,) and "crowd" (capacity,).

        Rotated boxes become the axis-aligned boxes around them, clipped to the image.
        """
        return object_targets(with_upright_boxes(sample), capacity)

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metric: the twelve COCO metrics."""
        return [CocoMeanAveragePrecision(class_map)]

    def ground_truth(self, dataset: Any, index: int) -> Sample:
        """Return the objects of the image, with axis-aligned boxes."""
        return with_upright_boxes(super().ground_truth(dataset, index))

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
        """Return the objects of the image, without padding."""
        boxes, classes = target(targets, "boxes")[row], target(targets, "classes")[row]
        known = classes >= 0
        instances = Instances(
            size,
            Boxes(boxes[known]),
            classes[known].astype(np.int32),
            crowd=np.asarray(targets["crowd"][row], bool)[known] if "crowd" in targets else None,
        )
        return Sample(ImageInfo(index, None, size), instances=instances)

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Any:
        """Return NMS, or a selection of the best boxes if the head needs no NMS.

        Without a `score`, as in evaluation, the settings are those of the COCO protocol.
        """
        nms = COCO_NMS if score is None else Nms(score_threshold=score)
        nms = nms if iou is None else nms.replace(iou_threshold=iou)
        return suppression(needs_nms(model), nms)

    def to_original(self, found: Instances, placement: Placement, size: ImageSize) -> Instances:
        """Return the boxes in pixels of the original image, clipped to it."""
        return to_original(found, placement, size)

    def prediction_files(
        self, class_map: ClassMap | None, threshold: float = 0.0
    ) -> DetectionFiles:
        """Return the collector of `detections.json`."""
        return DetectionFiles(class_map, threshold)

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare boxes, scores and the detections that remain after suppression.

        Without `nms`, its threshold is the score of the twentieth best box, so that a model with
        little training has boxes to compare.
        """
        return compare_boxes(expected, in_order_of(expected, actual), **suppression)

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray]:
        """Return one box of about two cells per image; the levels alternate over the images."""
        return box_targets(head.num_classes, levels, size, batch)

    def empty_targets(self, head: Any, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return padding alone."""
        return {"boxes": np.zeros_like(targets["boxes"]), "classes": targets["classes"] * 0 - 1}

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match:
        """Compare the box with the highest score with that of the image."""
        return box_match(targets, decoded, image)

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Check the scores, and that boxes are xyxy."""
        return invalid_scores(head, decoded) or invalid_boxes(decoded)


def with_upright_boxes(sample: Sample) -> Sample:
    """Return a sample whose rotated boxes are replaced by the axis-aligned boxes around them."""
    found = sample.instances
    if not isinstance(found.boxes, RotatedBoxes):
        return sample
    boxes = Boxes(upright(np.asarray(found.boxes))).clip(found.size)
    return replace(sample, instances=found.replace(boxes=boxes))
