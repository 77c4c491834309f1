"""Writers: `DetectionDataset`s -> COCO JSON, YOLO txt, Pascal VOC, CSV, ArrayRecord."""

from visiongarden.data.write.convert import TARGETS, convert, in_one_step, write

__all__ = ["TARGETS", "convert", "in_one_step", "write"]
