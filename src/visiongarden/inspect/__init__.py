"""Summary, parameter count, compute and comparison of models."""

from visiongarden.inspect.counting import Count, count
from visiongarden.inspect.deployment import deployed
from visiongarden.inspect.difference import diff
from visiongarden.inspect.figure import Figure, Row, show
from visiongarden.inspect.model_diff import FieldChange, LayerChange, ModelDiff

__all__ = [
    "Count",
    "FieldChange",
    "Figure",
    "LayerChange",
    "ModelDiff",
    "Row",
    "count",
    "deployed",
    "diff",
    "show",
]
