"""Matching of a model's classes with those of a dataset, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.errors import UserError, nearest, option
from visiongarden.models.kinds import MadeOfParts, WithPredictionLayers
from visiongarden.types import ClassMap

CHOICES = ("model", "data")
_LISTED = 12


@dataclass(frozen=True)
class Aligned:
    """Classes of a model and a dataset after matching.

    Attributes:
        class_map: The classes, in the order of the dataset.
        order: int (classes,), class of the dataset for each class of the model; None if the orders
            are equal.
        note: How the classes were matched, shown with the result; "" if the names agree.
    """

    class_map: ClassMap
    order: np.ndarray | None = None
    note: str = ""

    def found(self, found: Any) -> Any:
        """Convert a prediction of the model to the class indices of the dataset."""
        if self.order is None:
            return found
        classes = self.order[found.classes].astype(found.classes.dtype)
        return found.replace(classes=classes, class_map=self.class_map)


def aligned(model: Any, data: ClassMap, class_names: str | None = None) -> Aligned:
    """Match the classes of a model with those of a dataset.

    If both have the same names in another order, classes are matched by name.

    Args:
        model: A model. If its `class_map` is None, the dataset names the classes.
        data: Class map of the dataset.
        class_names: "model" or "data": match class i with class i whatever the names are, and show
            the names of this side.

    Raises:
        UserError: The names differ, or the numbers of classes differ.
    """
    own = model.class_map
    if class_names is not None and class_names not in CHOICES:
        raise UserError(
            f"class_names is {class_names!r}, which is not a valid choice",
            fix=nearest(str(class_names), CHOICES),
        )
    count = len(own) if own is not None else _count(model)
    if class_names is not None or own is None:
        _check_counts(count, len(data))
        if class_names is None or own is None or own.names == data.names:
            return Aligned(data)
        shown = own if class_names == "model" else data
        return Aligned(
            # The ids stay those of the dataset's files, whichever names are shown.
            ClassMap(shown.names, data.ids),
            note=f"classes are matched by index; the table shows the names of the {class_names}",
        )
    if own.names == data.names:
        return Aligned(data)
    if set(own.names) != set(data.names):
        raise _class_mismatch(own.names, data.names)
    order = np.array([data.index_of_name(name) for name in own.names])
    return Aligned(
        data, order, "the model has its classes in another order; they are matched by name"
    )


def _check_counts(model: int | None, data: int) -> None:
    if model is not None and model != data:
        raise UserError(
            "the model and the dataset have different numbers of classes",
            rule=f"{model} classes, as in the model",
            received=f"{data} classes in the dataset",
            fix="evaluate on a dataset with the classes of the model",
        )


def _class_mismatch(model: tuple[str, ...], data: tuple[str, ...]) -> UserError:
    only = [[name for name in a if name not in b] for a, b in ((model, data), (data, model))]
    parts = [
        f"only in the {side}: {', '.join(names[:_LISTED])}{' …' if names[_LISTED:] else ''}"
        for side, names in zip(("model", "dataset"), only, strict=True)
        if names
    ]
    fix = "evaluate on a dataset with the classes of the model"
    if len(model) == len(data):
        fix = f"if the classes are in the same order: {option('class_names', 'model')}"
    return UserError(
        "the model and the dataset have different classes",
        rule="the same class names, in any order",
        received="; ".join(parts),
        fix=fix,
    )


def _count(model: Any) -> int | None:
    if isinstance(model, MadeOfParts):
        return int(model.parts.head.num_classes)
    heads = model.heads if isinstance(model, WithPredictionLayers) else ()
    return int(heads[0].settings["classes"]) if heads else None
