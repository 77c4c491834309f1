"""Checks of shapes: symbolic and actual shapes, odd and unknown sides, additions that broadcast."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.backends.tracing import keeps_unknown_sizes
from visiongarden.testing.arrays import leaves, shapes
from visiongarden.testing.explain import describe
from visiongarden.testing.hooks import additions
from visiongarden.testing.report import Finding, failed, passed, skipped, warned
from visiongarden.testing.subject import Subject

_STATIC = (
    "return the output shape of call() from compute_output_shape, or delete it: Keras traces call()"
)
_ANY_SIZE = (
    "take height and width from ops.shape(x), or use layers that accept any size; if only one size "
    "is supported, raise an error in call() for others"
)
_ONE_SIZE = (
    "a model with this layer needs a fixed image_size; to support any size, take height and width "
    "from ops.shape(x), and let no weight depend on them"
)


def static_shape(subject: Subject) -> Finding:
    """Check that symbolic outputs have the shapes and dtypes of actual outputs.

    The batch size is tested as unknown and as known. Height and width are also tested one longer
    and one shorter, because a `compute_output_shape` that rounds the wrong way is right for even
    sides.
    """
    layer = subject.main
    actual = subject.inference
    batch = len(leaves(subject.arguments)[0])
    for batch_size in (None, batch):
        symbolic = layer(*subject.symbols(batch_size))
        if wrong := _differing(symbolic, actual):
            return failed(_mismatch(wrong), _STATIC)
    own = type(layer).compute_output_shape
    if not subject.is_graph and own is not keras.layers.Layer.compute_output_shape:
        wanted = [tuple(leaf.shape) for leaf in leaves(actual)]
        try:
            computed = layer.compute_output_shape(*_shapes_for(subject))
        except TypeError:
            computed = None  # takes the shapes as other arguments; the symbolic call has tested it
        if computed is not None and _flat_shapes(computed) != wanted:
            return failed(
                f"compute_output_shape returns {computed}, but call() returns {shapes(actual)}",
                _STATIC,
            )
    for arguments in _odd_sides(subject):
        if mismatch := _mismatch_at(subject, arguments):
            return failed(f"{mismatch} for inputs {shapes(arguments)}", _STATIC)
    return passed(shapes(actual))


def _mismatch_at(subject: Subject, arguments: Any) -> str | None:
    """Compare symbolic and actual outputs at another size; None if they agree.

    A layer that rejects the size passes. The layer is new because the first call may have fixed its
    size.
    """
    layer = subject.fresh()
    try:
        actual = subject.call(layer, arguments)
    except Exception:
        return None
    try:
        symbolic = layer(*subject.symbols(None, arguments=arguments))
    except Exception as error:
        return f"the layer runs, but cannot be traced: {describe(error)}"
    wrong = _differing(symbolic, actual)
    return _mismatch(wrong) if wrong else None


def _odd_sides(subject: Subject) -> list[Any]:
    """Return the inputs with all sides between batch and channels one longer, and one shorter."""

    def longer(array: np.ndarray) -> np.ndarray:
        pads = [(0, 0), *[(0, 1)] * (array.ndim - 2), (0, 0)]
        return np.pad(array, pads, mode="edge") if array.ndim > 2 else array

    def shorter(array: np.ndarray) -> np.ndarray:
        inner = [slice(None, max(side - 1, 1)) for side in array.shape[1:-1]]
        return array[(slice(None), *inner)] if array.ndim > 2 else array

    if subject.is_graph or not any(a.ndim > 2 for a in leaves(subject.arguments)):
        return []
    return [keras.tree.map_structure(change, subject.arguments) for change in (longer, shorter)]


def open_sides(subject: Subject) -> Finding:
    """Check symbolic shapes with unknown height and width, and outputs at a second size.

    A layer that raises at another size gives a warning: it is limited to one size, which may be
    intended. A layer fails if it silently returns a wrong shape or mixes height into the batch.
    """
    if not any(array.ndim == 4 for array in leaves(subject.arguments)):
        return skipped("no input has rank 4")
    # A graph does not depend on earlier inputs, so the shared one serves. A layer may be built for
    # the first size that it sees, which must be the unknown one here.
    layer, symbolic = subject.second_instance[0] if subject.is_graph else subject.fresh(), None
    try:
        symbolic = layer(*subject.symbols(sides=False))
    except Exception as error:
        # Only TensorFlow has unknown sides. In their place, Keras traces with prime numbers on
        # PyTorch and with one symbolic dimension on JAX. A valid layer may reject both, because
        # neither is divisible by 2.
        if keeps_unknown_sizes():
            return warned(
                f"the layer requires a known height and width: {describe(error)}", _ONE_SIZE
            )
        layer = subject.fresh()
    first: Any = None
    for arguments in (subject.arguments, _taller(subject.arguments)):
        try:
            actual = subject.call(layer, arguments)
        except Exception as error:
            size = shapes(arguments)
            return warned(
                f"the layer requires the size of its first call; it fails for {size}: "
                f"{describe(error)}",
                _ONE_SIZE,
            )
        if symbolic is not None and (wrong := _differing(symbolic, actual)):
            return failed(f"{_mismatch(wrong)} for {shapes(arguments)}", _ANY_SIZE)
        batches = [leaf.shape[:1] for leaf in leaves(actual)]
        if batches != (first or batches):
            return failed(
                f"the batch size changes: {shapes(arguments)} -> {shapes(actual)}", _ANY_SIZE
            )
        first = batches
    if symbolic is None:
        return skipped(
            "runs at two sizes; this backend cannot trace it with unknown height and width"
        )
    return passed(shapes(symbolic))


def broadcasting(subject: Subject) -> Finding:
    """Check that no addition in `call` silently broadcasts one feature map to another.

    Adding (batch, 1, 1, channels), as after global pooling, and an outer sum, in which each tensor
    broadcasts to the other, are accepted: both are clearly intended.
    """
    layer = subject.second_instance[0]
    batch = len(leaves(subject.arguments)[0])
    try:
        with additions(layer) as found:
            symbols = subject.symbols(batch)
            layer.compute_output_spec(*symbols)
    except Exception as error:
        return skipped(f"call() does not run on symbolic tensors: {describe(error)}")
    for one, other, place in found:
        if _stretches(one, other):
            return failed(
                f"{one} + {other} at {place} broadcasts",
                "give both the same shape (with a 1×1 convolution) and add them with "
                "vg.layers.Sum, which rejects other shapes; if broadcasting is intended, "
                "make it explicit: ops.broadcast_to(y, ops.shape(x))",
            )
    return passed(f"{len(found)} additions, none of which broadcasts")


def _stretches(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return whether an addition of two shapes broadcasts one of them unintentionally."""
    if one == other or not one or not other:
        return False
    if len(one) != len(other):
        return True
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a != b and None not in (a, b)]
    if not pairs or {1 in (a, b) for a, b in pairs} != {True}:
        return bool(pairs)
    first = any(a == 1 for a, _ in pairs)
    second = any(b == 1 for _, b in pairs)
    if first and second:
        return False  # an outer sum
    small, large = (one, other) if first else (other, one)
    # A globally pooled map: same batch and channels, all other sides 1.
    pooled = small[0] == large[0] and small[-1] == large[-1] and set(small[1:-1]) == {1}
    return not pooled


def _mismatch(wrong: tuple[str, str]) -> str:
    return f"the symbolic output is {wrong[0]}, the actual one {wrong[1]}"


def _differing(symbolic: Any, actual: Any) -> tuple[str, str] | None:
    """Return the first symbolic shape and dtype that differs from the actual one, or None."""
    ones, others = leaves(symbolic), leaves(actual)
    if len(ones) != len(others):
        return f"{len(ones)} outputs", f"{len(others)}"
    for one, other in zip(ones, others, strict=True):
        a, b = tuple(one.shape), tuple(other.shape)
        dtypes = [keras.backend.standardize_dtype(t.dtype) for t in (one, other)]
        fits = len(a) == len(b) and all(x in (None, y) for x, y in zip(a, b, strict=True))
        if not fits or dtypes[0] != dtypes[1]:
            return f"{a} {dtypes[0]}", f"{b} {dtypes[1]}"
    return None


def _shapes_for(subject: Subject) -> tuple[Any, ...]:
    return keras.tree.map_structure(lambda array: tuple(array.shape), subject.arguments)


def _flat_shapes(tree: Any) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [shape for key in sorted(tree) for shape in _flat_shapes(tree[key])]
    if isinstance(tree, (list, tuple)) and tree and isinstance(tree[0], (list, tuple, dict)):
        return [shape for item in tree for shape in _flat_shapes(item)]
    return [tuple(tree)]


def _taller(arguments: Any) -> Any:
    """Double the height of all inputs of rank 4 by appending their mirror image."""
    return keras.tree.map_structure(
        lambda a: np.concatenate([a, a[:, ::-1]], axis=1) if a.ndim == 4 else a, arguments
    )
