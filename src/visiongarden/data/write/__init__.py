"""Writers: data sets -> COCO JSON, YOLO txt, VOC, CSV, ArrayRecord, class folders, mask folders."""

from visiongarden.data.write.convert import TARGETS, convert, in_one_step

__all__ = ["TARGETS", "convert", "in_one_step"]
