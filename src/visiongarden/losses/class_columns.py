"""Weights of the class columns: classes of a dataset that are not annotated, or count less."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from visiongarden.errors import UserError
from visiongarden.ops import wide
from visiongarden.types import Targets, Tensor

KNOWN = "known_classes"


def class_columns(
    targets: Targets, class_weights: Sequence[float] | None, num_classes: int
) -> Tensor | None:
    """Return the weight of each class in each image, (batch or 1, classes); None if all are 1.

    Args:
        targets: targets with "known_classes" (batch, classes), False where a class is not
            annotated, so that nothing is known about it.
        class_weights: weight of each class; 0 ignores a class; None: all 1.
        num_classes: number of classes.

    Raises:
        UserError: the number of weights is not that of the classes.
    """
    found = None
    if class_weights is not None:
        if len(class_weights) != num_classes:
            raise UserError(
                f"the loss has {len(class_weights)} class weights",
                rule=f"{num_classes}, one for each class",
                fix=f"class_weights=({', '.join(['1.0'] * min(num_classes, 4))}, …)",
            )
        found = ops.convert_to_tensor([class_weights], wide())
    if KNOWN in targets:
        known = ops.cast(targets[KNOWN], wide())
        found = known if found is None else found * known
    return found


def weighted(losses: Tensor, columns: Tensor | None) -> Tensor:
    """Multiply losses by the weights of their classes.

    Args:
        losses: (batch, predictions, classes).
        columns: What `class_columns` returned.
    """
    return losses if columns is None else losses * ops.expand_dims(columns, 1)
