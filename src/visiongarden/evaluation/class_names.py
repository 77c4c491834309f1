"""Matching of a model's classes with those of a dataset, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.errors import UserError, nearest, option
from visiongarden.models.kinds import MadeOfParts, WithPredictionLayers, WithSignature
from visiongarden.tasks import Task, task_of
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
        task: Task that converts results to another order.
    """

    class_map: ClassMap
    order: np.ndarray | None = None
    note: str = ""
    task: Task | None = None

    def found(self, found: Any) -> Any:
        """Convert a prediction of the model to the class indices of the dataset."""
        if self.order is None or self.task is None:
            return found
        return self.task.renumbered(found, self.order, self.class_map)


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
    own, task = model.class_map, task_of(model)
    if class_names is not None and class_names not in CHOICES:
        raise UserError(
            f"class_names is {class_names!r}, which is not a valid choice",
            fix=nearest(str(class_names), CHOICES),
        )
    count = len(own) if own is not None else _count(model)
    if class_names is not None or own is None:
        _check_counts(count, len(data), task.row_names)
        if class_names is None or own is None or own.names == data.names:
            return Aligned(data)
        shown = own if class_names == "model" else data
        return Aligned(
            # The ids stay those of the dataset's files, whichever names are shown.
            ClassMap(shown.names, data.ids),
            note=f"{task.row_names} are matched by index; the table shows the names of the "
            f"{class_names}",
        )
    if own.names == data.names:
        return Aligned(data)
    if set(own.names) != set(data.names):
        raise _class_mismatch(own.names, data.names, task.row_names)
    order = np.array([data.index_of_name(name) for name in own.names])
    what = task.row_names
    note = f"the model has its {what} in another order; they are matched by name"
    return Aligned(data, order, note, task)


def _check_counts(model: int | None, data: int, what: str) -> None:
    if model is not None and model != data:
        raise UserError(
            f"the model and the dataset have different numbers of {what}",
            rule=f"{model} {what}, as in the model",
            received=f"{data} {what} in the dataset",
            fix=f"evaluate on a dataset with the {what} of the model",
        )


def _class_mismatch(model: tuple[str, ...], data: tuple[str, ...], what: str) -> UserError:
    only = [[name for name in a if name not in b] for a, b in ((model, data), (data, model))]
    parts = [
        f"only in the {side}: {', '.join(names[:_LISTED])}{' …' if names[_LISTED:] else ''}"
        for side, names in zip(("model", "dataset"), only, strict=True)
        if names
    ]
    fix = f"evaluate on a dataset with the {what} of the model"
    if len(model) == len(data):
        fix = f"if the {what} are in the same order: {option('class_names', 'model')}"
    return UserError(
        f"the model and the dataset have different {what}",
        rule="the same names, in any order",
        received="; ".join(parts),
        fix=fix,
    )


def classes_of(model: Any) -> ClassMap:
    """Return the classes of a model; those without names are numbered."""
    if model.class_map is not None:
        found: ClassMap = model.class_map
        return found
    if isinstance(model, WithSignature):
        return ClassMap(tuple(f"class {index}" for index in range(model.num_classes)))
    return ClassMap(task_of(model).class_names(model.parts.head))


def _count(model: Any) -> int | None:
    if isinstance(model, MadeOfParts | WithSignature):
        return len(classes_of(model))
    heads = model.heads if isinstance(model, WithPredictionLayers) else ()
    return int(heads[0].settings["classes"]) if heads else None
