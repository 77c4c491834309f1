"""Metrics: update, result, reset."""

from visiongarden.metrics.coco_map import CocoMeanAveragePrecision

__all__ = ["CocoMeanAveragePrecision"]
