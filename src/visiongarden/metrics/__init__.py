"""Metrics: update, result, reset."""

from visiongarden.metrics.coco_map import CocoMeanAveragePrecision
from visiongarden.metrics.mean_iou import MeanIoU
from visiongarden.metrics.top_k import TopKAccuracy

__all__ = ["CocoMeanAveragePrecision", "MeanIoU", "TopKAccuracy"]
