"""Cases of `benchmarks.learning`: data, budget and evaluation."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
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
        task: Task; with masks, their metrics are reported as well.
        overrides: Overrides of the recipe.
        evaluations: Number of evaluations during training, at most one after each epoch.
        copy: Function of `data` and a folder, which copies the images of the case to that folder.
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
    task: str = "detection"
    overrides: tuple[str, ...] = ()
    evaluations: int = 60
    copy: Callable[[Path, Path], None] | None = None

    def folder(self, scratch):
        """Return the folder of the dataset; scenes and copies are in the scratch folder."""
        if self.copy is not None:
            self.copy(self.data, scratch / "data")
            return scratch / "data"
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


def few_nuclei(source, folder):
    """Copy 16 images of 256 × 256 pixels with at most 40 nuclei, and another one as "val"."""
    found = [
        place
        for place in sorted((source / "stage1_train").iterdir())
        if kind_of(place)[0] == (256, 256) and len(list((place / "masks").iterdir())) <= 40
    ]
    # With images of "val", the reader keeps all others for training.
    for place, split in zip(found, ["train"] * 16 + ["val"], strict=False):
        shutil.copytree(place, folder / split / place.name)


def divided_nuclei(source, folder):
    """Copy all images: of each size, gray or in color, every fifth as "val", from the third."""
    kinds = {}
    for place in sorted((source / "stage1_train").iterdir()):
        kinds.setdefault(kind_of(place), []).append(place)
    for places in kinds.values():
        for number, place in enumerate(places):
            split = "val" if number % 5 == 2 else "train"
            shutil.copytree(place, folder / split / place.name)


def kind_of(place):
    """Return (height, width) of the image of a nuclei folder, and whether it is in color."""
    (file,) = (place / "images").iterdir()
    image = cv2.imread(str(file)).astype(int)
    return image.shape[:2], bool((image.max(axis=-1) - image.min(axis=-1)).mean() > 2)


_FEW = {"epochs": 300, "size": 320, "batch": 4, "val": "train", "test": "train"}
_SMALL_RESNET = "model.backbone={type: ResNet, depth: 18, width: 0.5}"
_MASKS = {
    **_FEW,
    "task": "instance_segmentation",
    "evaluations": 5,  # an evaluation with masks takes as long as training on 16 images
    "overrides": (_SMALL_RESNET,),
}
_LEVELS = "levels: [p2, p3, p4, p5]"
_TWO_STAGES = (
    f"model.backbone={{type: ResNet, depth: 18, width: 0.5, {_LEVELS}}}",
    f"model.decoder={{type: FPN, channels: 64, {_LEVELS}}}",
    # The smallest anchors have sides of 16 pixels.
    "model.head={type: MaskRCNN, filters: 64, anchor_size: 4, box_units: 256, "
    "proposals_per_level: 300, proposals: 300, regions: 128}",
)
_RETINANET = (
    _SMALL_RESNET,
    "model.decoder={type: FPN, channels: 64}",
    # The anchor size that `train` proposes instead of the default; normalized, as from scratch.
    "model.head={type: RetinaNetMasks, filters: 64, repeats: 2, norm: group, anchor_size: 1.7}",
    "transforms=[HorizontalFlip]",
)
_NUCLEI = (DATA / "nuclei_dsb2018", "InstanceMaskFolders")

CASES = {
    "coco_by": Case(DATA / "coco_by", "COCO", **_FEW, min_side=8.0),
    "scenes21": Case(None, "COCO", **_FEW, classes=21),
    "scenes80": Case(None, "COCO", **_FEW, classes=80),
    "letters": Case(DATA / "asl_letters", "YOLO", 20, 256, 16, test="test"),
    "bccd": Case(DATA / "bccd", "VOC", 40, test="test"),
    "raccoon": Case(DATA / "raccoon", "VOC", 60),
    "nuclei16": Case(*_NUCLEI, **_MASKS | {"epochs": 180, "size": 256}, copy=few_nuclei),
    "nuclei16_two_stages": Case(
        *_NUCLEI,
        **_MASKS | {"epochs": 120, "size": 256, "overrides": _TWO_STAGES},
        copy=few_nuclei,
    ),
    "nuclei16_retinanet": Case(
        *_NUCLEI,
        **_MASKS | {"epochs": 100, "size": 256, "overrides": _RETINANET},
        copy=few_nuclei,
    ),
    "coco_by_masks": Case(
        DATA / "coco_by",
        "COCO",
        # With the default transforms, which change scales and colors, 150 epochs are too few.
        **_MASKS | {"epochs": 90, "overrides": (_SMALL_RESNET, "transforms=[HorizontalFlip]")},
        min_side=8.0,
    ),
    "nuclei": Case(*_NUCLEI, 40, 256, 8, task="instance_segmentation", copy=divided_nuclei),
}
"""Cases with `val="train"` overfit 16 images; the others measure generalization.

The epochs of the cases with masks are chosen to reach a box AP50 of 0.9 and a mask AP50 of 0.8.
"""


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
