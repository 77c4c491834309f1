"""Class ids as rows of zeros with a one."""

from __future__ import annotations

from typing import Any

from keras import ops


def one_hot(classes: Any, count: int) -> Any:
    """Rows with 1 in the column of the class; an id outside 0 to `count` - 1 has a row of zeros.

    Keras's own reads the ids back from the device on PyTorch, which waits for it at every step.

    Args:
        classes: (...) int32.
        count: columns.

    Returns:
        (..., count) float32.
    """
    columns = ops.arange(count, dtype="int32")
    same = ops.equal(ops.expand_dims(ops.cast(classes, "int32"), -1), columns)
    return ops.cast(same, "float32")
