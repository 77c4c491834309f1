"""Rows of class outputs: finding the weights with one row per class, and matching their rows.

The kernel and bias of a class output have one row for each class. If they were copied by position
between models with another order of classes, each class would silently get the weights of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from visiongarden.backends.graph import node_of
from visiongarden.backends.sublayers import own_weights
from visiongarden.errors import UserError, nearest, option
from visiongarden.layers.nested import nested
from visiongarden.models import Joined
from visiongarden.models.kinds import WithClassMap, WithPredictionLayers
from visiongarden.parts.roles import OfClasses
from visiongarden.types import ClassMap

CHOICES = ("name", "position")
_LISTED = 8


@dataclass(frozen=True)
class Layout:
    """Structure of the last axis of a class output's weight.

    Attributes:
        groups: Number of groups on the axis, one for each anchor.
        before: Number of elements of a group before the classes, such as those of a box.
    """

    groups: int
    before: int

    def rows(self, classes: Sequence[int], count: int) -> np.ndarray:
        """Return the indices of some classes in all groups, and of the elements before the classes.

        Args:
            classes: Indices of the classes.
            count: Number of classes on the axis.
        """
        width = self.before + count
        inside = [*range(self.before), *(self.before + index for index in classes)]
        return np.concatenate([np.array(inside, np.int64) + g * width for g in range(self.groups)])


@dataclass(frozen=True)
class Rows:
    """Rows to copy: `target[..., to] = source[..., from_]`.

    Attributes:
        from_: Indices on the last axis of the source's weight.
        to: Indices on the last axis of the target's weight.
        source_size: Length of the last axis of the source's weight.
    """

    from_: np.ndarray
    to: np.ndarray
    source_size: int


@dataclass(frozen=True)
class ClassRows:
    """How the class outputs of a target are copied.

    Attributes:
        layouts: Layouts of the weights of class outputs by path; None where the layout is unknown.
        shared: (index in the source, index in the target) of each class that both sides have; None
            if class outputs are copied like any other weight.
        counts: Numbers of classes of source and target.
        left_out: Whether class outputs are not copied at all.
        fresh: Names of the target's classes that the source lacks.
        note: Note for the report, or "".
    """

    layouts: dict[str, Layout | None]
    shared: tuple[tuple[int, int], ...] | None = None
    counts: tuple[int, int] = (0, 0)
    left_out: bool = False
    fresh: tuple[str, ...] = ()
    note: str = ""

    def skips(self, path: str) -> bool:
        """Return whether a weight of the target belongs to a class output that is not copied."""
        if path not in self.layouts:
            return False
        return self.left_out or (self.shared is not None and self.layouts[path] is None)

    def of(self, path: str) -> Rows | None:
        """Return the rows of a class output to copy, or None to copy the weight as a whole."""
        layout = self.layouts.get(path)
        if layout is None or self.shared is None:
            return None
        source_classes, target_classes = zip(*self.shared, strict=True)
        return Rows(
            layout.rows(source_classes, self.counts[0]),
            layout.rows(target_classes, self.counts[1]),
            layout.groups * (layout.before + self.counts[0]),
        )


def class_rows(
    source: tuple[str, ...] | None, target: Any, by: str = "name", published: str = ""
) -> ClassRows:
    """Decide how the rows of a target's class outputs are copied.

    Args:
        source: Class names of the source, or None.
        target: A model; its `class_map` may be None.
        by: "name" to match rows by class name, or "position" to copy row i to row i.
        published: Classes of a published checkpoint in words, whose rows have a fixed order. They
            are copied to a target without class names.

    Raises:
        UserError: If `by` is neither "name" nor "position".
    """
    if by not in CHOICES:
        raise UserError(f"unknown value {by!r} of class_rows", fix=nearest(by, CHOICES))
    target_names = class_names_of(target)
    if source == target_names and target_names is not None:
        return ClassRows({})  # Equal classes in equal order: copied like any other weight.
    layouts = _layouts(target)
    if not layouts or by == "position":
        note = "class rows were copied by position, as requested" if layouts else ""
        return ClassRows(layouts, note=note)
    if published and not source and not target_names:
        note = f"class rows were copied by position, in the order of {published}"
        return ClassRows(layouts, note=note)
    from_, to = source or (), target_names or ()
    shared = tuple((from_.index(name), to.index(name)) for name in to if name in from_)
    if not target_names or not source or not shared:
        why = "source and target have no class name in common"
        if not target_names and not source:
            why = "neither source nor target has class names"
        elif not target_names or not source:
            why = f"the {'target' if source else 'source'} has no class names"
        return ClassRows(
            layouts,
            left_out=True,
            note=f"class outputs were not copied ({len(layouts)} weights): {why}; to copy them by "
            f"position, use {option('class_rows', 'position')}",
        )
    fresh = tuple(name for name in target_names if name not in source)
    note = f"class rows were matched by name: {len(shared)} of {len(target_names)} classes"
    if fresh:
        more = f" and {len(fresh) - _LISTED} more" if fresh[_LISTED:] else ""
        note += f"; new classes, whose rows were not changed: {', '.join(fresh[:_LISTED])}{more}"
    return ClassRows(layouts, shared, (len(source), len(target_names)), fresh=fresh, note=note)


def class_names_of(model: Any) -> tuple[str, ...] | None:
    """Return the class names that a model stores, or None."""
    class_map: ClassMap | None = model.class_map if isinstance(model, WithClassMap) else None
    return None if class_map is None else class_map.names


def _layouts(target: Any) -> dict[str, Layout | None]:
    """Return the layouts of the weights with one row per class by path; None if it is unknown."""
    layouts: dict[str, Layout | None] = {}
    for tensor, groups, count, has_boxes in _class_outputs(target):
        layer = _layer_behind(tensor)
        for leaf in [] if layer is None else _last_with_weights(layer, count, groups):
            for weight in leaf.weights:
                size = weight.shape[-1] if weight.shape else 0
                each, rest = divmod(size, groups)
                # In a layer that predicts boxes as well, the classes are the end of each group.
                known = size and not rest and (each >= count if has_boxes else each == count)
                layouts[weight.path] = Layout(groups, each - count) if known else None
    return layouts


def _class_outputs(target: Any) -> Iterator[tuple[Any, int, int, bool]]:
    """Yield (tensor, anchors per cell, classes, whether boxes come first) of every class output."""
    if isinstance(target, Joined):
        head = target.parts.head
        # Heads mark class outputs by their name. Tensors of a head with anchors have an axis for
        # them; one convolution may predict boxes and classes of all anchors.
        for raw in target.head.output.values():
            for name, tensor in raw.items():
                if name.endswith("classes") and isinstance(head, OfClasses):
                    anchors = tensor.shape[3] if len(tensor.shape) == 5 else 1
                    yield tensor, anchors, head.num_classes, len(tensor.shape) == 5
        return
    # A Darknet model; its prediction layers come first among its outputs.
    heads = target.heads if isinstance(target, WithPredictionLayers) else ()
    for step, tensor in zip(heads, target.outputs if heads else (), strict=False):
        yield tensor, len(step.settings["anchors"]), step.settings["classes"], True


def _layer_behind(tensor: Any) -> Any:
    """Return the last layer with weights before a tensor of a graph; None if the graph branches."""
    while True:
        node = node_of(tensor)
        if node is None:
            return None
        if isinstance(node.operation, keras.Layer) and node.operation.weights:
            return node.operation
        inputs = node.input_tensors
        if len(inputs) != 1:
            return None
        (tensor,) = inputs


def _last_with_weights(layer: Any, count: int, groups: int) -> list[Any]:
    """Return the innermost layer that predicts, as a list of at most one layer.

    It is the last one created whose number of outputs is sufficient and a multiple of `groups`.
    """
    owners = [(each, own_weights(each)) for _, each in nested(layer)]
    leaves = [(each, weights[0].shape[-1]) for each, weights in owners if weights]
    exact = [each for each, size in leaves if size >= count * groups and size % groups == 0]
    return exact[-1:]
