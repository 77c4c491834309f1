"""Metrics of all tasks, with the method names of Keras.

Each metric has `update_state(y_true, y_pred)`, `result`, `reset_state` and `per_class`.
"""

from visiongarden.metrics.coco_map import CocoMeanAveragePrecision
from visiongarden.metrics.mean_iou import MeanIoU
from visiongarden.metrics.metric import Metric
from visiongarden.metrics.multi_label_scores import MultiLabelScores
from visiongarden.metrics.regression_errors import RegressionErrors
from visiongarden.metrics.top_k import TopKAccuracy

__all__ = [
    "CocoMeanAveragePrecision",
    "MeanIoU",
    "Metric",
    "MultiLabelScores",
    "RegressionErrors",
    "TopKAccuracy",
]
