"""Metrics: update, result, reset."""

from visiongarden.metrics.coco_map import CocoMeanAveragePrecision
from visiongarden.metrics.mean_iou import MeanIoU
from visiongarden.metrics.top_k import TopK

__all__ = ["CocoMeanAveragePrecision", "MeanIoU", "TopK"]
