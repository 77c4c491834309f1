"""Evaluation: a model on images -> figures, what it finds, pictures."""

from visiongarden.evaluation.draw import draw, grid
from visiongarden.evaluation.evaluate import Result, evaluate, evaluate_file, judge_on
from visiongarden.evaluation.plots import plot_history
from visiongarden.evaluation.predict import predict
from visiongarden.evaluation.predictor import Predictor
from visiongarden.evaluation.result_files import (
    FileResults,
    predict_files,
    predict_folder,
    write_png,
)
from visiongarden.tasks import COCO_NMS

__all__ = [
    "COCO_NMS",
    "FileResults",
    "Predictor",
    "Result",
    "draw",
    "evaluate",
    "evaluate_file",
    "grid",
    "judge_on",
    "plot_history",
    "predict",
    "predict_files",
    "predict_folder",
    "write_png",
]
