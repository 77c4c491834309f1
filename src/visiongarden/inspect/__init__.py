"""Summary, parameter count, compute and comparison of models."""

from visiongarden.inspect.count import Count, count
from visiongarden.inspect.deployed import deployed
from visiongarden.inspect.diff import diff
from visiongarden.inspect.model_diff import FieldChange, LayerChange, ModelDiff
from visiongarden.inspect.show import Figure, Row, show

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
