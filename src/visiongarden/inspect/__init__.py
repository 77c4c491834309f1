"""What a model is: its figure, its parameters and its compute, and what repeats in it."""

from visiongarden.inspect.count import Count, count
from visiongarden.inspect.deployed import deployed
from visiongarden.inspect.diff import FieldChange, LayerChange, ModelDiff, diff
from visiongarden.inspect.repeats import Place, Repeat, Repeats, repeats, write
from visiongarden.inspect.show import Figure, Row, show

__all__ = [
    "Count",
    "FieldChange",
    "Figure",
    "LayerChange",
    "ModelDiff",
    "Place",
    "Repeat",
    "Repeats",
    "Row",
    "count",
    "deployed",
    "diff",
    "repeats",
    "show",
    "write",
]
