"""Multiply-accumulates, measured on symbolic tensors without computation or weight values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from visiongarden.backends.graph import without_new_calls
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.layers import Composite

_PER_OUTPUT = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
_PER_INPUT = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_COUNTED = (
    *_PER_OUTPUT,
    *_PER_INPUT,
    *_SEPARABLE,
    keras.layers.Dense,
    keras.layers.EinsumDense,
)


def macs_by_layer(model: keras.Model, inputs: Any) -> Counter[int]:
    """Return the MACs of each convolution and dense layer in one forward pass, by `id(layer)`.

    A layer that is called several times counts each time.

    Args:
        model: A built model.
        inputs: Symbolic tensors of static shape and batch size 1, in the structure of the model's
            inputs.
    """
    macs: Counter[int] = Counter()
    with without_new_calls(model), _recording(model, macs):
        model.compute_output_spec(inputs)
    return macs


def macs_inside(layer: keras.Layer, macs: Counter[int]) -> int:
    """Return the MACs of a layer and all its sublayers."""
    return sum(macs[id(leaf)] for leaf in every_layer(layer))


def outputs_inside(layer: keras.Layer, macs: Counter[int]) -> int:
    """Return the number of output values of all counted layers inside `layer`.

    It is the quotient of a layer's MACs and its MACs per output value.
    """
    counted = (leaf for leaf in every_layer(layer) if macs[id(leaf)])
    return sum(macs[id(leaf)] // _macs_per_output(leaf) for leaf in counted)


def every_layer(layer: keras.Layer) -> list[keras.Layer]:
    """Return the layer itself and all its sublayers, without duplicates."""
    return with_sublayers(layer)


@contextmanager
def _recording(model: keras.Model, macs: Counter[int]) -> Iterator[None]:
    # Methods are replaced on the instances, not on the classes, so that other models that run at
    # the same time are not affected. Both methods are counted: a layer is reached through `call`
    # where a plain layer around it is traced by the backend.
    watched = [layer for layer in every_layer(model) if isinstance(layer, (*_COUNTED, Composite))]
    try:
        for layer in watched:
            if isinstance(layer, Composite):
                # A composite caches its output shapes; only its `call` reaches the layers inside.
                object.__setattr__(layer, "compute_output_spec", layer.call)
            else:
                methods = {"compute_output_spec": layer.compute_output_spec, "call": layer.call}
                for name, method in methods.items():
                    object.__setattr__(layer, name, _counting(layer, method, macs))
        yield
    finally:
        for layer in watched:
            for name in ("compute_output_spec", "call"):
                layer.__dict__.pop(name, None)


def _counting(layer: Any, method: Callable[..., Any], macs: Counter[int]) -> Callable[..., Any]:
    def counted_call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        output = method(inputs, *args, **kwargs)
        macs[id(layer)] += _macs(layer, tuple(inputs.shape), tuple(output.shape))
        return output

    return counted_call


def _macs(layer: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> int:
    if isinstance(layer, keras.layers.EinsumDense):
        return _einsum_macs(layer, inputs)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(outputs[:-1]) * math.prod(layer.kernel.shape)
    shape = inputs if isinstance(layer, _PER_INPUT) else outputs
    first = layer.data_format == "channels_first"
    cells = shape[0] * math.prod(shape[2:] if first else shape[1:-1])
    if isinstance(layer, _SEPARABLE):
        kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        return int(cells * kernels)
    return int(cells * math.prod(layer.kernel.shape))


def _einsum_macs(layer: Any, inputs: tuple[int, ...]) -> int:
    """Return the MACs of an `EinsumDense`.

    Each input value is multiplied with the kernel values that share its labels, so the number of
    products is the size of the input times the kernel dimensions the input lacks.
    """
    kernel = tuple(layer.kernel.shape)
    kernel_labels = layer.equation.split("->")[0].split(",")[1]
    input_labels = layer.equation.split(",")[0]
    shared = math.prod(
        side for label, side in zip(kernel_labels, kernel, strict=True) if label in input_labels
    )
    return math.prod(inputs) // shared * math.prod(kernel)


def _macs_per_output(layer: Any) -> int:
    """Return the MACs of one output value of a layer."""
    if isinstance(layer, _SEPARABLE):
        inner = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        return int(inner // layer.filters)
    kernel = tuple(layer.kernel.shape)
    if isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)):
        return math.prod(kernel[:-2])
    if isinstance(layer, keras.layers.EinsumDense):
        labels, result = layer.equation.split("->")
        sides = zip(labels.split(",")[1], kernel, strict=True)
        return math.prod(side for label, side in sides if label not in result)
    if isinstance(layer, _PER_INPUT):
        # Each input value contributes to kernel * filters outputs; strides distribute them.
        return max(math.prod(kernel) // kernel[-2] // math.prod(layer.strides), 1)
    return math.prod(kernel[:-1])
