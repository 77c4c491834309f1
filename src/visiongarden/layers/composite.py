"""`Composite`: base class of every layer that is made of layers."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from visiongarden.backends.names import has_automatic_name
from visiongarden.backends.sublayers import children
from visiongarden.errors import UserError
from visiongarden.layers.arguments import bound_arguments, construct, deserialized, serialized
from visiongarden.layers.attribute_names import refuse_reserved, unsaved
from visiongarden.layers.nested import set_trainable, trainable_inside
from visiongarden.layers.open_sides import has_open_sides, traced_filled
from visiongarden.layers.policy import put_in_force, scoped
from visiongarden.types import Tensor

_FILLED_IN = ("training", "mask")
"""Arguments of `call` that Keras fills in; `build` ignores them."""

_TRAINABLE = "trainable_inside"
"""Config key for the sublayers whose `trainable` differs from that of the layer."""


class Composite(keras.layers.Layer):
    """Base class of layers that are made of other layers.

    A subclass creates sublayers in `__init__` and uses them in `call`. Nothing else needs to be
    written: `build`, the output shape and the config follow from these two methods. `build` runs
    `call` once on symbolic tensors, so that each sublayer is built with the shape that it receives;
    this covers branches, unknown height and width, and all backends. Each sublayer takes the name
    of its attribute (`self.conv` is named `conv`, the list `self.units` holds `unit1`, `unit2`,
    ...), so that the paths of weights are readable and equal in every process.

    The constructor takes plain arguments (numbers, strings, tuples of them, or layers) and
    `**kwargs` for `name`, `dtype` and `trainable`.

    Attributes:
        training_only: True if the layer is folded into another one or left out for inference, such
            as the 1×1 branch of a `RepConv`; set on the instance by the layer or part that creates
            it.

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
        >>> gate = Gate(4)
        >>> gate(keras.Input((8, 8, 3))).shape
        (None, 8, 8, 4)
        >>> gate.get_config()["filters"]
        4
    """

    training_only: bool = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Record the constructor arguments, layers included, for `get_config`."""
        layer = super().__new__(cls, *args, **kwargs)
        arguments = bound_arguments(cls, layer, args, kwargs)
        # object.__setattr__ bypasses the attribute tracking of Keras, which would register layers
        # among the arguments as sublayers. None: `__init__` is about to raise a TypeError.
        object.__setattr__(layer, "_arguments", {} if arguments is None else arguments)
        return layer

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap `__init__`, so that sublayers created in it use the dtype policy of the layer."""
        super().__init_subclass__(**kwargs)
        cls.__init__ = scoped(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        put_in_force(self)
        # object.__setattr__ bypasses the attribute tracking of Keras and TensorFlow, which would
        # write the cached shapes into exported files.
        object.__setattr__(self, "_output_shapes", {})

    _arguments: dict[str, Any]
    _first_call: dict[str, Any] | None = None
    _output_shapes: dict[Any, Any]

    def __setattr__(self, name: str, value: Any) -> None:
        refuse_reserved(self, name, value)
        if isinstance(value, keras.Layer):
            self._name_after([(name, value)])
        else:
            stem = name.removesuffix("s")
            self._name_after([(f"{stem}{place}", layer) for place, layer in _contained(value)])
        super().__setattr__(name, value)

    def _name_after(self, places: list[tuple[str, keras.Layer]]) -> None:
        """Name sublayers after their attributes, and make the names unique."""
        # A built layer keeps its name, which its weights' paths already contain; so does a layer
        # that the user named.
        named = [(name, x) for name, x in places if not x.built and has_automatic_name(x)]
        ours = {id(layer) for _, layer in named}
        taken = {layer.name for layer in children(self) if id(layer) not in ours}
        for name, layer in named:
            plain = name.lstrip("_")
            names = (plain if n == 1 else f"{plain}_{n}" for n in itertools.count(1))
            layer.name = next(each for each in names if each not in taken)
            taken.add(layer.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Build the layer with all tensors of the call if necessary, then call it."""
        if not self.built:
            given = self._given(args, kwargs)
            tensors = [name for name, value in given.items() if _has_tensors(value)]
            # Keras builds with the shapes of the tensors alone; where `call` takes several
            # arguments, the trace needs all of them, values that are no tensors included.
            if tensors and len(given) > 1:
                object.__setattr__(self, "_first_call", given)
                try:
                    self.build(
                        _shape(given[tensors[0]]),
                        **{f"{name}_shape": _shape(given[name]) for name in tensors[1:]},
                    )
                finally:
                    object.__delattr__(self, "_first_call")
        return super().__call__(*args, **kwargs)

    def build(self, input_shape: Any, **more_shapes: Any) -> None:
        """Build each sublayer with the shape that it receives.

        Args:
            input_shape: shape of the first argument of `call`; a list or dict of shapes if that
                argument is a list or dict of tensors.
            **more_shapes: shapes of its other tensor arguments: `skip_shape` is the shape of
                `skip`.

        Raises:
            UserError: a sublayer is not used by `call`, is not held by an attribute, or has the
                name of another one. A saved file would lack its weights, and would reopen with
                random ones.
        """
        if self._first_call is not None:
            self._trace(self._first_call)
        else:
            first, *_ = inspect.signature(self.call).parameters
            shapes = {first: input_shape}
            shapes |= {key.removesuffix("_shape"): shape for key, shape in more_shapes.items()}
            self._trace({name: self._symbolic(shape) for name, shape in shapes.items()})
        unused = [layer.name for layer in children(self) if not layer.built]
        if unused:
            raise UserError(
                f"{type(self).__name__} {self.name!r} does not use {', '.join(unused)} in call()",
                rule="call() uses every sublayer created in __init__; an unused one has no weights",
                fix=f"use self.{unused[0]} in call(), or create it only where it is needed"
                + self._other_tensors(more_shapes),
            )
        names = [layer.name for layer in children(self) if layer.weights]
        duplicates = [name for name in names if names.count(name) > 1]
        if duplicates:
            raise UserError(
                f"{type(self).__name__} {self.name!r} has two sublayers named {duplicates[0]!r}",
                rule="sublayer names are unique, because they are the paths of the weights",
                fix="omit name=; the sublayer is then named after its attribute",
            )
        lost = [layer.name for layer in unsaved(self)]
        if lost:
            raise UserError(
                f"{type(self).__name__} {self.name!r} does not store {', '.join(lost)} "
                "in an attribute",
                rule="sublayers are stored in attributes, or in lists and dicts there; others are "
                "missing from a saved file",
                fix="store them as self.units = [...], and append to self.units",
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output shape of `call`, computed on symbolic tensors."""
        first, *_ = inspect.signature(self.call).parameters
        return _shape(self._output({first: self._symbolic(input_shape)}))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output of `call` as symbolic tensors, with shape and dtype."""
        given = self._given(args, kwargs)
        if len(given) == 1:
            return super().compute_output_spec(*args, **kwargs)
        return self._output(given)

    def _output(self, given: dict[str, Any]) -> Any:
        key = _key(given)
        if key not in self._output_shapes:
            self._trace(given)
        return keras.tree.map_structure(lambda end: end.tensor(), self._output_shapes[key])

    def _trace(self, given: dict[str, Any]) -> None:
        try:
            output = self._call_with(given)
        except UserError:
            raise
        except Exception as error:
            if not has_open_sides(given):
                raise
            try:
                output = traced_filled(self._call_with, given)
            except UserError:
                raise
            except Exception:
                raise error from None  # the first error is about the shapes that the user passed
        # Cached, because Keras asks for the output shape after building: each level of nesting
        # would be traced twice, and a block of depth d 2**d times.
        self._output_shapes[_key(given)] = keras.tree.map_structure(_End, output)

    def _call_with(self, given: dict[str, Any]) -> Any:
        bound = inspect.signature(self.call).bind_partial()
        bound.arguments.update(given)
        return self.call(*bound.args, **bound.kwargs)

    def _given(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """Return the arguments of a call by name, with symbolic tensors in place of values."""
        try:
            bound = inspect.signature(self.call).bind(*args, **kwargs)
        except TypeError:
            return {}  # Keras is about to raise an error that names the argument
        return {
            name: keras.tree.map_structure(self._without_values, value)
            for name, value in bound.arguments.items()
            if name not in _FILLED_IN and value is not None
        }

    def _without_values(self, value: Any) -> Any:
        if not _is_tensor(value):
            return value
        dtype = keras.backend.standardize_dtype(value.dtype)
        dtype = self.compute_dtype if "float" in dtype and self.autocast else dtype
        return keras.KerasTensor(tuple(value.shape), dtype=dtype)

    def _other_tensors(self, known: Any) -> str:
        """Return advice for the error message if `call` takes arguments that were not passed."""
        parameters = list(inspect.signature(self.call).parameters)[1:]
        others = [n for n in parameters if n not in _FILLED_IN and f"{n}_shape" not in known]
        if not others:
            return ""
        return f"; where it needs {', '.join(others)}, give that too in the first call of the layer"

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the shapes that the layer was built with."""
        built: dict[str, Any] | None = super().get_build_config()
        shapes = (built or {}).get("shapes_dict", {})
        if "more_shapes" not in shapes:
            return built
        return {"shapes": {"input_shape": shapes["input_shape"], **shapes["more_shapes"]}}

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Build the layer with the shapes from `get_build_config`."""
        if config and "shapes" in config:
            self.build(**config["shapes"])
        else:
            super().build_from_config(config)

    def _symbolic(self, shape: Any) -> Any:
        """Return symbolic tensors in the compute dtype, nested like `shape`."""
        if isinstance(shape, dict):
            return {key: self._symbolic(item) for key, item in shape.items()}
        if shape and isinstance(shape[0], (list, tuple, dict)):
            return [self._symbolic(item) for item in shape]
        return keras.KerasTensor(tuple(shape), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, and the current name, dtype policy and `trainable`."""
        own = {key: serialized(value) for key, value in self._arguments.items()}
        base = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
        inside = trainable_inside(self)
        return own | base | ({_TRAINABLE: inside} if inside else {})

    def record_argument(self, name: str, value: Any) -> Any:
        """Record the value of a constructor argument that `__init__` changed, and return the value.

        A layer that was created under `folding()` must be reopened in its folded form, although its
        constructor was called without `folded=True`.
        """
        self._arguments[name] = value
        return value

    def fold(self) -> dict[str, np.ndarray] | None:
        """Return the weights of the folded form as relative path -> array, or None.

        A layer with a folded form takes a constructor argument `folded`, and creates that form also
        where `is_folding()` is true.
        """
        return None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Create the layer from the config that `get_config` returned."""
        inside = config.get(_TRAINABLE, {})
        arguments = {key: deserialized(v) for key, v in config.items() if key != _TRAINABLE}
        layer = construct(cls, arguments)
        if inside or not layer.trainable:
            # Keras does not pass the constructor argument `trainable` on to sublayers.
            set_trainable(layer, layer.trainable, inside)
        return layer


class _End:
    """Shape and dtype of one output tensor, as cached by `Composite`.

    A cached symbolic tensor would keep the whole traced graph alive, and two calls of the layer
    would share it.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.shape, self.dtype = tuple(tensor.shape), tensor.dtype

    def tensor(self) -> keras.KerasTensor:
        """Return a new symbolic tensor with this shape and dtype."""
        return keras.KerasTensor(self.shape, dtype=self.dtype)


def _contained(value: Any, place: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """Yield (suffix, layer) of layers in lists and dicts: "1", "2", ..., "_key", nested "1_2"."""
    if isinstance(value, keras.Layer):
        yield place, value
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value, start=1):
            yield from _contained(item, f"{place}{'_' if place else ''}{position}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _contained(item, f"{place}_{str(key).replace('/', '_')}")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (keras.KerasTensor, np.ndarray)) or bool(keras.ops.is_tensor(value))


def _has_tensors(value: Any) -> bool:
    return any(map(_is_tensor, keras.tree.flatten(value)))


def _shape(tensors: Any) -> Any:
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), tensors)


def _key(given: dict[str, Any]) -> Any:
    """Return a hashable key of a call's arguments: shapes and dtypes, other values as text."""
    leaves = keras.tree.flatten_with_path(given)
    return tuple(
        (path, (leaf.shape, leaf.dtype) if _is_tensor(leaf) else repr(leaf))
        for path, leaf in leaves
    )
