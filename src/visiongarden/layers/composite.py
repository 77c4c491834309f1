"""`Composite`: the base of every layer that is made of layers."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from visiongarden.backends.keras_internals import has_automatic_name
from visiongarden.errors import UserError
from visiongarden.layers.arguments import bound_arguments, construct, deserialized, serialized
from visiongarden.layers.attribute_names import refuse_reserved, unsaved
from visiongarden.layers.nested import set_trainable, trainable_inside
from visiongarden.layers.open_sides import has_open_sides, traced_filled
from visiongarden.layers.policy import put_in_force, scoped

_FILLED_IN = ("training", "mask")
"""Arguments of `call` that Keras gives where the caller does not; they build nothing."""

_TRAINABLE = "trainable_inside"
"""Entry of a config for sublayers whose `trainable` is not that of the layer."""


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
        arguments = bound_arguments(cls, layer, args, kwargs)
        if arguments is None:
            return layer  # `__init__` is about to say what is wrong
        object.__setattr__(layer, "_arguments", arguments)
        return layer

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Gives sublayers that `__init__` makes the layer's dtype policy."""
        super().__init_subclass__(**kwargs)
        cls.__init__ = scoped(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        put_in_force(self)
        # Past Keras's and TensorFlow's tracking, which would write the shapes into exports.
        object.__setattr__(self, "_output_shapes", {})

    _arguments: dict[str, Any]
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
        """Gives layers the names of their attributes, and two of them never the same."""
        named = [(name, x) for name, x in places if not x.built and has_automatic_name(x)]
        ours = {id(layer) for _, layer in named}
        taken = {layer.name for layer in getattr(self, "_layers", ()) if id(layer) not in ours}
        for name, layer in named:
            plain = name.lstrip("_")
            names = (plain if n == 1 else f"{plain}_{n}" for n in itertools.count(1))
            layer.name = next(each for each in names if each not in taken)
            taken.add(layer.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Builds with all tensors of the call, then does what every Keras layer does."""
        if not self.built:
            given = self._given(args, kwargs)
            tensors = [name for name, value in given.items() if _has_tensors(value)]
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
        """Builds every sublayer with the shape that reaches it.

        Args:
            input_shape: of the first argument of `call`; a list or dict of shapes where that is a
                list or dict of tensors.
            **more_shapes: of its other tensor arguments: `skip_shape` is the shape of `skip`.

        Raises:
            UserError: a sublayer was made that `call` does not use, or that no attribute holds: it
                would be saved unbuilt, or not at all, and come back with random numbers.
        """
        if hasattr(self, "_first_call"):
            self._trace(self._first_call)
        else:
            first, *_ = inspect.signature(self.call).parameters
            shapes = {first: input_shape}
            shapes |= {key.removesuffix("_shape"): shape for key, shape in more_shapes.items()}
            self._trace({name: self._symbolic(shape) for name, shape in shapes.items()})
        unused = [layer.name for layer in self._layers if not layer.built]
        if unused:
            raise UserError(
                f"{type(self).__name__} {self.name!r} makes {', '.join(unused)} and never uses it",
                rule="call() uses every sublayer that __init__ makes; an unused one has no weights",
                fix=f"use self.{unused[0]} in call(), or make it only where it is needed"
                + self._other_tensors(more_shapes),
            )
        names = [layer.name for layer in self._layers if layer.weights]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise UserError(
                f"{type(self).__name__} {self.name!r} has two sublayers named {twice[0]!r}",
                rule="each sublayer has a name of its own, which is the path of its weights",
                fix="leave name= out: the attribute's name is taken",
            )
        lost = [layer.name for layer in unsaved(self)]
        if lost:
            raise UserError(
                f"{type(self).__name__} {self.name!r} keeps {', '.join(lost)} in no attribute",
                rule="sublayers are kept in attributes, or in lists and dicts there; others are "
                "missing in a saved file",
                fix="keep them as self.units = [...], and append to self.units",
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of `call`'s result, found on symbolic tensors."""
        first, *_ = inspect.signature(self.call).parameters
        return _shape(self._output({first: self._symbolic(input_shape)}))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Shape and type of `call`'s result, found on symbolic tensors."""
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
                raise error from None  # the first one is about the sides that were given
        # Building and asking for the shape would else trace twice a level, 2**depth in all.
        self._output_shapes[_key(given)] = keras.tree.map_structure(_End, output)

    def _call_with(self, given: dict[str, Any]) -> Any:
        bound = inspect.signature(self.call).bind_partial()
        bound.arguments.update(given)
        return self.call(*bound.args, **bound.kwargs)

    def _given(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """Arguments of a call by name, tensors as symbolic ones of their shape."""
        try:
            bound = inspect.signature(self.call).bind(*args, **kwargs)
        except TypeError:
            return {}  # Keras is about to say what is wrong
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
        """Advice where `call` takes more than was built with."""
        parameters = list(inspect.signature(self.call).parameters)[1:]
        others = [n for n in parameters if n not in _FILLED_IN and f"{n}_shape" not in known]
        if not others:
            return ""
        return f"; where it needs {', '.join(others)}, give that too in the first call of the layer"

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes that the layer was built with."""
        shapes = self._build_shapes_dict
        if shapes is None or "more_shapes" not in shapes:
            built: dict[str, Any] | None = super().get_build_config()
            return built
        return {"shapes": {"input_shape": shapes["input_shape"], **shapes["more_shapes"]}}

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Builds with the shapes that `get_build_config` returned."""
        if config and "shapes" in config:
            self.build(**config["shapes"])
        else:
            super().build_from_config(config)

    def _symbolic(self, shape: Any) -> Any:
        """Symbolic tensors of the compute type, nested as their shapes are."""
        if isinstance(shape, dict):
            return {key: self._symbolic(item) for key, item in shape.items()}
        if shape and isinstance(shape[0], (list, tuple, dict)):
            return [self._symbolic(item) for item in shape]
        return keras.KerasTensor(tuple(shape), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with name, dtype policy and `trainable` as they are now."""
        arguments = getattr(self, "_arguments", {})
        own = {key: serialized(value) for key, value in arguments.items()}
        base = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
        inside = trainable_inside(self)
        return own | base | ({_TRAINABLE: inside} if inside else {})

    def says(self, name: str, value: Any) -> Any:
        """Puts what `__init__` made of one of its arguments into the config; returns it."""
        self._arguments[name] = value
        return value

    def fold(self) -> dict[str, Any] | None:
        """Weights of the layer's folded form, relative path -> array; None: it has no such form.

        A layer that has one takes an argument `folded`, and makes it where `is_folding()`.
        """
        return None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer that `get_config` described."""
        inside = config.get(_TRAINABLE, {})
        arguments = {key: deserialized(v) for key, v in config.items() if key != _TRAINABLE}
        layer = construct(cls, arguments)
        if inside or not layer.trainable:
            # Keras hands a constructor's `trainable` on to no sublayer.
            set_trainable(layer, layer.trainable, inside)
        return layer


class _End:
    """Shape and type of one tensor: what is remembered of it."""

    def __init__(self, tensor: Any) -> None:
        self.shape, self.dtype = tuple(tensor.shape), tensor.dtype

    def tensor(self) -> keras.KerasTensor:
        """A new symbolic tensor of the shape and type."""
        return keras.KerasTensor(self.shape, dtype=self.dtype)


def _contained(value: Any, place: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """Layers in lists and dicts, with their place: "1", "2", ... and "_key"."""
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
    """The arguments of a call as a key: nested shapes and types, and other values as text."""
    leaves = keras.tree.flatten_with_path(given)
    return tuple(
        (path, (leaf.shape, leaf.dtype) if _is_tensor(leaf) else repr(leaf))
        for path, leaf in leaves
    )
