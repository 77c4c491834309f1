"""`Composite`: the base of every layer that is made of layers."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from visiongarden.errors import UserError
from visiongarden.layers.keras_internals import has_automatic_name


class Composite(keras.layers.Layer):
    """A layer made of layers: make them in `__init__`, use them in `call`, write nothing else.

    Build, output shape and config follow from these two. The build runs `call` once on symbolic
    tensors, so that each sublayer is built with the shape that reaches it; branches, unknown height
    and width, and every backend are covered alike. Sublayers take the name of their attribute
    (`self.conv` -> `conv`, the list `self.units` -> `unit1`, `unit2`, ...), which makes every
    weight's path readable and the same in each process.

    Subclasses take plain constructor arguments (numbers, strings, tuples of them, or layers) and
    `**kwargs` for `name`, `dtype` and `trainable`.

    Example:
        >>> @vg.register(package="my_project")
        ... class Gate(vg.layers.Composite):
        ...     def __init__(self, filters, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.score = keras.layers.Conv2D(filters, 1, activation="sigmoid")
        ...         self.value = keras.layers.Conv2D(filters, 1)
        ...
        ...     def call(self, x):
        ...         return self.score(x) * self.value(x)

    Attributes:
        training_only: whether deployment folds the layer into another or leaves it out, as the
            small branch of a `RepConv`; set on the instance by the layer or part that makes it.
    """

    training_only: bool = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Remembers the constructor's arguments, layers among them, for `get_config`."""
        layer = super().__new__(cls, *args, **kwargs)
        try:
            bound = inspect.signature(cls.__init__).bind(layer, *args, **kwargs)
        except TypeError:
            return layer  # `__init__` is about to say what is wrong
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        for parameter in inspect.signature(cls.__init__).parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name, {})
        object.__setattr__(layer, "_arguments", arguments)
        return layer

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Past Keras's and TensorFlow's tracking, which would write the shapes into exports.
        object.__setattr__(self, "_output_shapes", {})

    _output_shapes: dict[Any, Any]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, keras.Layer):
            _name_after(value, name)
        elif isinstance(value, (list, tuple)):
            for position, item in enumerate(value, start=1):
                if isinstance(item, keras.Layer):
                    _name_after(item, f"{name.removesuffix('s')}{position}")
        super().__setattr__(name, value)

    def build(self, input_shape: Any) -> None:
        """Builds every sublayer with the shape that reaches it.

        Raises:
            UserError: a sublayer was made that `call` does not use; it would be saved unbuilt and
                come back with random numbers.
        """
        self._trace(input_shape)
        unused = [layer.name for layer in self._layers if not layer.built]
        if unused:
            raise UserError(
                f"{type(self).__name__} {self.name!r} makes {', '.join(unused)} and never uses it",
                rule="call() uses every sublayer that __init__ makes; an unused one has no weights",
                fix=f"use self.{unused[0]} in call(), or make it only where it is needed",
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of `call`'s result, found on symbolic tensors."""
        key = _hashable(input_shape)
        if key not in self._output_shapes:
            self._trace(input_shape)
        return self._output_shapes[key]

    def _trace(self, input_shape: Any) -> None:
        output = self.call(_symbolic(input_shape, self.compute_dtype))
        shape = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), output)
        # Building and asking for the shape would else trace twice a level, 2**depth in all.
        self._output_shapes[_hashable(input_shape)] = shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with name, dtype policy and `trainable` as they are now."""
        arguments = getattr(self, "_arguments", {})
        own = {key: _serialized(value) for key, value in arguments.items()}
        base = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
        return own | base

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer that `get_config` described."""
        return cls(**{key: _deserialized(value) for key, value in config.items()})


def _name_after(layer: keras.Layer, name: str) -> None:
    if not layer.built and has_automatic_name(layer):
        layer.name = name.lstrip("_")


def _symbolic(shape: Any, dtype: str) -> Any:
    if isinstance(shape, dict):
        return {key: _symbolic(item, dtype) for key, item in shape.items()}
    if shape and isinstance(shape[0], (list, tuple)):
        return [_symbolic(item, dtype) for item in shape]
    return keras.KerasTensor(tuple(shape), dtype=dtype)


def _hashable(shape: Any) -> Any:
    if isinstance(shape, dict):
        return tuple((key, _hashable(item)) for key, item in sorted(shape.items()))
    return tuple(_hashable(item) if isinstance(item, (list, tuple)) else item for item in shape)


def _serialized(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_serialized(item) for item in value]
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return keras.saving.serialize_keras_object(value)


def _deserialized(value: Any) -> Any:
    if isinstance(value, list):
        return [_deserialized(item) for item in value]
    if isinstance(value, dict) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    return value
