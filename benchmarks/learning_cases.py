"""Cases of `benchmarks.learning`: data, budget and evaluation."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT

DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Case:
    """Dataset with a training budget.

    Attributes:
        data: Path of the dataset; None for generated scenes.
        reader: Reader of the dataset.
        epochs: Number of epochs.
        size: Height and width of the network's input in pixels.
        batch: Batch size.
        val: Split for validation; "train" overfits the training images.
        test: Split on which the reported metrics are computed.
        classes: Number of classes of generated scenes.
        min_side: Boxes with a shorter side, in pixels of the network's input, count as crowds.
    """

    data: Path | None
    reader: str = "auto"
    epochs: int = 60
    size: int = 256
    batch: int = 8
    val: str = "val"
    test: str = "val"
    classes: int | None = None
    min_side: float = 0.0

    def folder(self, scratch):
        """Return the folder of the dataset; scenes are written to the scratch folder."""
        if self.data is not None:
            return self.data
        from visiongarden.scenes import make_scenes

        return make_scenes(
            scratch / "scenes",
            16,
            (self.size, self.size),
            val_share=0.0,
            classes=self.classes,
            objects=(4, 6),
        )


_FEW = {"epochs": 300, "size": 320, "batch": 4, "val": "train", "test": "train"}

CASES = {
    "coco_by": Case(DATA / "coco_by", "COCO", **_FEW, min_side=8.0),
    "scenes21": Case(None, "COCO", **_FEW, classes=21),
    "scenes80": Case(None, "COCO", **_FEW, classes=80),
    "letters": Case(DATA / "asl_letters" / "asl.yaml", "YOLO", 20, 256, 16, test="test"),
    "bccd": Case(DATA / "bccd", "VOC", 40, test="test"),
    "raccoon": Case(DATA / "raccoon", "VOC", 60),
}
"""The first three overfit 16 images in 300 epochs; the others test generalization."""


def small_as_crowd(dataset, size, min_side):
    """Mark the boxes that are too small at a network's image size as crowds.

    In COCO's protocol a missed crowd is no error, and neither is a detection on a crowd.
    """
    rows = []
    for row in dataset.rows():
        height, width = row.size
        sides = (row.boxes[:, 2:] - row.boxes[:, :2]) * min(size / height, size / width)
        small = sides.min(axis=1, initial=np.inf) < min_side
        rows.append(replace(row, crowd=row.crowd | small))
    return dataset.with_rows(rows)
