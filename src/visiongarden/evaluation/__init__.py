"""Evaluation of models on a split, and prediction on images."""

from visiongarden.evaluation.collecting import Collector
from visiongarden.evaluation.evaluator import evaluate, evaluate_together, make_validator
from visiongarden.evaluation.prediction import predict
from visiongarden.evaluation.predictor import Predictor
from visiongarden.evaluation.result import EvaluationResult
from visiongarden.tasks import COCO_NMS

__all__ = [
    "COCO_NMS",
    "Collector",
    "EvaluationResult",
    "Predictor",
    "evaluate",
    "evaluate_together",
    "make_validator",
    "predict",
]
