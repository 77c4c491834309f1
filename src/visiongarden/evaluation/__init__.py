"""Evaluation of models on a split, and prediction on images."""

from visiongarden.evaluation.evaluator import Result, evaluate, evaluate_file, make_validator
from visiongarden.evaluation.prediction import predict
from visiongarden.evaluation.predictor import Predictor
from visiongarden.tasks import COCO_NMS

__all__ = [
    "COCO_NMS",
    "Predictor",
    "Result",
    "evaluate",
    "evaluate_file",
    "make_validator",
    "predict",
]
