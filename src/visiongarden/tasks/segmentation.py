"""Segmentation task: a class for each pixel, evaluated by mean intersection over union."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.backbones import CSPDarknet
from visiongarden.decoders import UNet
from visiongarden.heads import Segmentation
from visiongarden.losses import Dice, SegmentationLoss
from visiongarden.metrics import MeanIoU, Metric
from visiongarden.models import Segmenter
from visiongarden.postprocess import best_of_each
from visiongarden.registry import register
from visiongarden.samples import ImageInfo, Sample
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity, decisions
from visiongarden.tasks.prediction_files import PredictionFiles, listed_classes
from visiongarden.tasks.task import Defaults, Task, invalid_scores, model_fields, refuse_iou, target
from visiongarden.transforms import HSV, Affine, HorizontalFlip, Transform
from visiongarden.types import IGNORE, ClassMap, ImageSize, Placement, Segments


class SegmentationFiles(PredictionFiles):
    """Result files of segmentations: masks, and the fraction of pixels of each class."""

    files = ("segments.json",)

    def row(self, file: Path, found: Segments) -> dict[str, Any]:
        """Return the `mask` file and `segments`: the classes and their shares, largest first."""
        counts = np.bincount(found.classes.ravel())
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        shares = [
            {"class": self.name(i), "share": round(counts[i] / found.classes.size, 4)}
            for i in order
        ]
        return {"mask": self._mask(file), "segments": shares}

    def found(self) -> str:
        """Return the number of images in which each class appears."""
        return listed_classes(Counter(e["class"] for row in self.rows for e in row["segments"]))

    def picture_names(self, file: Path) -> list[str]:
        """Return the file name of the mask."""
        return [self._mask(file)]

    def pictures(self, file: Path, found: Segments) -> dict[str, np.ndarray]:
        """Return the mask, a gray image of class indices."""
        return {self._mask(file): found.classes}

    def _mask(self, file: Path) -> str:
        return f"masks/{file.stem}.png"


@register
class SemanticSegmentationTask(Task):
    """Semantic segmentation: a class for each pixel."""

    name = "segmentation"
    model = Segmenter
    needs = ("semantic",)
    detail = 1.5
    outputs = ("scores",)
    monitor = "mIoU"
    shown = ("mIoU", "accuracy")
    title = "mean IoU"

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Suit datasets with semantic masks."""
        return 0.9 if "semantic" in fields else 0.0

    def defaults(self) -> Defaults:
        """Return a CSP backbone from p2 to p4 and the expanding path of U-Net.

        They have 0.9 million parameters.
        """
        # Measured on 320 synthetic scenes at 96 pixels after 20 epochs: mean IoU 0.42 (two seeds).
        # A semantic feature pyramid down to p5, without Dice and with stronger augmentation, had
        # 0.19. Both p5 (3 x 3 cells at that size) and p1 slow the decrease of the loss; Dice adds
        # 0.02 to 0.04. The model learns equally well at learning rates of 0.001 and 0.003, and
        # worse at 0.006.
        return Defaults(
            model_fields(
                CSPDarknet(levels=("p2", "p3", "p4"), depth=0.33, width=0.25),
                UNet(channels=64, levels=("p2", "p3", "p4")),
                Segmentation(num_classes=2, dropout=0.0, loss=SegmentationLoss(region_loss=Dice())),
                image_size=256,
            )
        )

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return changes of scale, position and color, and a flip."""
        # With scales of 0.75 to 1.5 and shifts of 0.1, the mean IoU was 0.33 instead of 0.45 (320
        # images, 20 epochs, one seed).
        view = Affine(scale=(0.8, 1.25), translate=0.05, pan=True)
        return (view, HorizontalFlip(), HSV(saturation=0.5))

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return "semantic": uint8 (height, width), class ids; 255 is ignored."""
        return {"semantic": np.asarray(sample.semantic)}

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metric: mean IoU and accuracies, in pixels of the original images."""
        return [MeanIoU(class_map)]

    def arrays(
        self, y_true: Sequence[Sample], y_pred: Sequence[Segments]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the class of each pixel of all images, (pixels,); ignored pixels weigh 0."""
        true = np.concatenate([np.asarray(sample.semantic).ravel() for sample in y_true])
        found = np.concatenate([result.classes.ravel() for result in y_pred])
        counted_pixels = true != IGNORE
        # A class id, because 255 would be outside a confusion matrix.
        return np.where(counted_pixels, true, 0), found, counted_pixels.astype(np.float32)

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
        """Return the mask of the image."""
        return Sample(ImageInfo(index, None, size), semantic=target(targets, "semantic")[row])

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Any:
        """Return a function that changes nothing.

        The best class is chosen in `to_original`, after the scores are resized to the original
        image: a resized mask of classes would have jagged edges.
        """
        refuse_iou(self, iou)
        return _scores

    def to_original(self, found: np.ndarray, placement: Placement, size: ImageSize) -> Segments:
        """Return the best class of each pixel of the original image."""
        return best_of_each(found, placement, size)

    def prediction_files(
        self, class_map: ClassMap | None, threshold: float = 0.0
    ) -> SegmentationFiles:
        """Return the writer of `segments.json` and the masks."""
        return SegmentationFiles(class_map, threshold)

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare the scores and the best class of each pixel."""
        return decisions(expected["scores"], actual["scores"], "pixels")

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray]:
        """Return masks with a rectangle of another class than the background."""
        masks = np.zeros((batch, *size), np.int32)
        for image in range(batch):
            masks[image, size[0] // 4 :, : size[1] // 2] = (image + 1) % head.num_classes
        return {"semantic": masks}

    def empty_targets(self, head: Any, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return masks in which every pixel is ignored."""
        return {"semantic": np.full_like(targets["semantic"], IGNORE)}

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match:
        """Compare the best class of each pixel with the mask."""
        found, expected = decoded["scores"][image].argmax(-1), targets["semantic"][image]
        share = float(np.mean(found == expected)) if found.shape == expected.shape else 0.0
        return Match(
            learned=True,
            correct=share >= 0.9,
            expected=f"a mask {expected.shape}",
            got=f"a mask {found.shape} with {share:.0%} correct pixels",
        )

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Check the scores."""
        return invalid_scores(head, decoded)


def _scores(scores: np.ndarray) -> np.ndarray:
    return scores
