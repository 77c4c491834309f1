"""Metrics of detection, classification and segmentation.

Each metric collects one image per `update` and has `reset`, `result` and `per_class`.
"""

from visiongarden.metrics.coco_map import CocoMeanAveragePrecision
from visiongarden.metrics.mean_iou import MeanIoU
from visiongarden.metrics.top_k import TopKAccuracy

__all__ = ["CocoMeanAveragePrecision", "MeanIoU", "TopKAccuracy"]
