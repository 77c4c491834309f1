"""Subject of the checks: a class or instance, a way to construct copies of it, and its inputs."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import keras
import numpy as np

from visiongarden.backends.graph import graph_of
from visiongarden.backends.names import fresh_names
from visiongarden.backends.precision import dtype_policy
from visiongarden.backends.weightless import weightless
from visiongarden.errors import ContractError, UserError
from visiongarden.parts import IMAGE, Backbone, Decoder, Head, Part
from visiongarden.parts.roles import Anchored
from visiongarden.testing.arrays import arrays_like, batch_of, image_sides, inputs_of, is_shape
from visiongarden.testing.companions import connected
from visiongarden.testing.examples import examples_of
from visiongarden.testing.explain import first_line
from visiongarden.testing.guess import (
    CHANNELS,
    candidate_shapes,
    constructor_arguments,
    tensor_arguments,
)
from visiongarden.testing.hooks import variables_made
from visiongarden.testing.instances import randomize, remembered, renewed
from visiongarden.types import FeatureSpec, ImageSize, LevelSpec, stride_of

_IMAGE_SIDES = (64, 96)
"""(height, width) of images for models with open sides: multiples of stride 32, not square."""


class Subject:
    """Layer, part or model under test.

    Building a layer is expensive, so the instances that most checks share (`main` and
    `second_instance`) are built once. A check that changes state builds its own instance with
    `fresh`.

    Args:
        source: Class or instance of a layer, part or model.
        inputs: Inputs, as in `visiongarden.testing.check`; None guesses them.
        config: Constructor arguments if `source` is a class.

    Attributes:
        cls: Class under test.
        instance: The instance that was passed, or None if a class was passed.
        config: Constructor arguments from which copies are built. None if they are unknown; copies
            are then built from `get_config()`.
        arguments: Positional arguments of `call` as NumPy arrays, nested as `call` takes them.
        compiled_loss: Compiled loss and gradients of a head, shared by two checks.
        raw_in_training: Outputs of a head that takes targets, for those of its task.

    Raises:
        UserError: If `source` is not a layer, part or model, if an instance is combined with
            constructor arguments, if arguments cannot be guessed, or if the inputs have the wrong
            rank.
    """

    def __init__(self, source: Any, inputs: Any = None, config: dict[str, Any] | None = None):
        self.cls: type = source if isinstance(source, type) else type(source)
        if not issubclass(self.cls, (keras.Layer, Part)):
            raise UserError(
                f"{self.cls.__name__} cannot be checked",
                rule="a class or instance of keras.layers.Layer, a part or a model",
                received=repr(source)[:80],
            )
        self.instance = None if isinstance(source, type) else source
        if self.instance is not None and config:
            raise UserError(
                f"constructor arguments cannot be combined with an instance of {self.cls.__name__}",
                received=", ".join(config),
                fix=f"check({self.cls.__name__}, ...) with the class, or without arguments",
            )
        self.config: dict[str, Any] | None
        if self.instance is None:
            self.config = constructor_arguments(self.cls, config or {})
        else:
            self.config = remembered(self.instance)
        self.compiled_loss: Any = None
        self.raw_in_training: Any = None
        self.arguments = self._positional(self._guessed() if inputs is None else inputs)
        if inputs is not None:
            self._reject_wrong_rank()

    @property
    def is_part(self) -> bool:
        """Whether the subject is a part, which is a value rather than a layer."""
        return issubclass(self.cls, Part)

    @property
    def is_graph(self) -> bool:
        """Whether copies are functional models, which are built and have fixed inputs."""
        return self.is_part or _has_graph(self.main)

    @cached_property
    def part(self) -> Part:
        """The part under test; only for subjects that are parts."""
        return self.instance if self.instance is not None else self.cls(**(self.config or {}))

    def fresh(self, policy: str | None = None, **changes: Any) -> Any:
        """Build a new layer or model with the subject's constructor arguments.

        A part is built as a model.

        Args:
            policy: Name of the global dtype policy during construction; None keeps the current
                one.
            **changes: Constructor arguments to override.
        """
        # Copy the arguments before the policy changes: `renewed` compares each layer's policy with
        # the global one to find out whether the layer asked for its policy explicitly.
        arguments = {} if self.config is None else renewed(self.config | changes, policy)
        with dtype_policy(policy), fresh_names():
            if self.is_part:
                return self.part.as_model(self.features, self.fixed_size)
            if self.config is not None:
                return self.cls(**arguments)
            model: Any = self.instance
            # Without its dtype, the copy takes the global policy, which is the one under test.
            config = {k: v for k, v in model.get_config().items() if k != "dtype"}
            return type(model).from_config(config | changes)

    @cached_property
    def main(self) -> Any:
        """The built instance that most checks share.

        Its weights are randomized because initial zeros and ones hide bugs: a branch multiplied by
        zero or a scale of one has no visible effect.
        """
        layer = self.fresh()
        if not _has_graph(layer):
            with fresh_names():
                layer(*self.tensors())
        randomize(layer)
        return layer

    @cached_property
    def second_instance(self) -> tuple[Any, list[keras.Variable]]:
        """A second instance with its initial weights, and every variable created for it."""
        with variables_made() as made, fresh_names():
            layer = self.fresh()
            if not self.is_graph:
                self.call(layer)
        return layer, made

    @cached_property
    def inference(self) -> Any:
        """Outputs of `main` for the inputs, computed before any check changes its state."""
        return self.call(self.main)

    def tensors(self, arguments: Any = None) -> tuple[Any, ...]:
        """Convert positional arguments to tensors of the backend.

        Args:
            arguments: Arrays to convert; None takes the subject's own.
        """
        arguments = self.arguments if arguments is None else arguments
        return keras.tree.map_structure(keras.ops.convert_to_tensor, arguments)

    def symbols(
        self, batch: int | None = None, sides: bool = True, arguments: Any = None
    ) -> tuple[Any, ...]:
        """Create symbolic tensors with the shapes and dtypes of the positional arguments.

        Args:
            batch: Batch size; None leaves it unknown.
            sides: If False, height and width of arrays of rank 4 are unknown (None).
            arguments: Arrays that define shapes and dtypes; None takes the subject's own.
        """

        def symbol(array: np.ndarray) -> Any:
            shape = array.shape[1:]
            if not sides and array.ndim == 4:
                shape = (None, None, shape[-1])
            return keras.KerasTensor((batch, *shape), dtype=str(array.dtype))

        arguments = self.arguments if arguments is None else arguments
        return keras.tree.map_structure(symbol, arguments)

    def call(self, layer: Any, arguments: Any = None, training: bool = False) -> Any:
        """Call a layer on arrays and return its outputs.

        Args:
            layer: Layer or model to call.
            arguments: Positional arguments as arrays; None takes the subject's own.
            training: Value of the `training` argument.
        """
        return layer(*self.tensors(arguments), training=training)

    def model(self, layer: Any) -> keras.Model:
        """Wrap a layer in a functional model; return functional models unchanged."""
        if _has_graph(layer):
            return layer
        tensors = keras.tree.map_structure(
            lambda array: keras.Input(array.shape[1:], dtype=str(array.dtype)), self.arguments
        )
        takes = tensors[0] if len(tensors) == 1 else list(tensors)
        return keras.Model(takes, layer(*tensors))

    @property
    def features(self) -> FeatureSpec:
        """Specification of the feature maps, or of the image, that a part receives."""
        features = self.arguments[0]
        if not isinstance(features, dict):
            return IMAGE
        return FeatureSpec(
            {
                level: LevelSpec(array.shape[-1], stride_of(level))
                for level, array in features.items()
            }
        )

    @property
    def image_size(self) -> ImageSize:
        """(height, width) in pixels of the image from which a part's feature maps derive."""
        features = self.arguments[0]
        if not isinstance(features, dict):
            height, width = features.shape[1:3]
            return int(height), int(width)
        level, array = next(iter(features.items()))
        return array.shape[1] * stride_of(level), array.shape[2] * stride_of(level)

    @cached_property
    def fixed_size(self) -> ImageSize | None:
        """Image size that the part needs to build its graph, or None if it builds for any size."""
        try:
            with weightless(), fresh_names():
                self.part.as_model(self.features)
        except Exception:
            return self.image_size
        return None

    def connected(self) -> Any:
        """Build a small complete model around the part, with random weights.

        A part is trained and saved within a model, so it is reopened within one. Returns `main` if
        no model class supports the task of the head.
        """
        with fresh_names():
            model = connected(self.part, self.features, self.fixed_size)
        if model is None:
            return self.main
        randomize(model)
        return model

    def _positional(self, inputs: Any) -> tuple[Any, ...]:
        several = isinstance(inputs, (tuple, list)) and not is_shape(inputs)
        if several and not self.is_part and tensor_arguments(self.cls) > 1:
            batch = batch_of(inputs)
            return tuple(arrays_like(item, seed, batch) for seed, item in enumerate(inputs))
        return (arrays_like(inputs, batch=batch_of(inputs)),)

    def _guessed(self) -> Any:
        """Guess the inputs: those of the graph, or the first shape on which the layer traces."""
        if self.is_part:
            return self._part_inputs()
        if self.instance is not None and _has_graph(self.instance):
            return _of_graph(self.instance)
        candidates = candidate_shapes(self.cls)
        for shape in candidates:
            self.arguments = self._positional(shape)
            try:
                layer = self.fresh()
                if _has_graph(layer):
                    return _of_graph(layer)
                layer(*self.symbols())
            except Exception:  # noqa: S112  candidates are guesses; `runs` reports errors
                continue
            return shape
        return self._eager_guess(candidates)

    def _eager_guess(self, candidates: list[Any]) -> Any:
        """Return the first shape on which a layer runs that cannot be traced on any of them.

        Falls back to the first candidate, for which the check `runs` then reports the error.
        """
        for shape in candidates:
            self.arguments = self._positional(shape)
            try:
                self.fresh()(*self.tensors())
            except Exception:  # noqa: S112  as above
                continue
            return shape
        return candidates[0]

    def _part_inputs(self) -> Any:
        """Return the inputs of a part: an image for a backbone, feature maps otherwise."""
        if own := examples_of(self.cls).get("inputs"):
            return own
        if issubclass(self.cls, Backbone):
            largest = max(stride_of(level) for level in cast(Backbone, self.part).levels)
            return (2, *image_sides(largest), 3)
        part = self.part
        levels = part.levels if isinstance(part, Decoder | Head) else None
        if levels is None and isinstance(part, Head) and isinstance(part, Anchored):
            levels = tuple(part.anchors or ())
        levels = levels or ("p3", "p4", "p5")
        found = FeatureSpec(
            {
                level: LevelSpec(CHANNELS * number, stride_of(level))
                for number, level in enumerate(levels, start=1)
            }
        )
        try:
            part.check(found, "the inputs")
        except ContractError:
            # A part that shares layers among the levels needs equal channels.
            return FeatureSpec({lv: LevelSpec(CHANNELS, found[lv].stride) for lv in found})
        return found

    def _reject_wrong_rank(self) -> None:
        """Raise if the user's inputs do not fit, so that no check blames the layer for them."""
        wants_maps = self.is_part
        for array in keras.tree.flatten(self.arguments):
            if wants_maps and array.ndim != 4:
                raise UserError(
                    f"inputs of rank {array.ndim} are not valid for {self.cls.__name__}",
                    rule="feature maps or images of rank 4: (batch, height, width, channels)",
                    received=str(array.shape),
                    fix="inputs=(2, 64, 96, 3)",
                )
        try:
            layer = self.fresh()
            if not _has_graph(layer):
                layer(*self.tensors())
            elif not self.is_part:
                self.call(layer)
        except Exception as error:
            # Texts of Keras's `InputSpec`. Any other error is a finding of the check `runs`.
            text = str(error)
            if "incompatible with the layer" in text or "expected ndim" in text:
                raise UserError(
                    f"the inputs are not valid for {self.cls.__name__}",
                    rule=first_line(error),
                    received=", ".join(str(a.shape) for a in keras.tree.flatten(self.arguments)),
                    fix="inputs=(2, 16, 24, 8), with the batch axis and the sizes of the layer",
                ) from error


def _has_graph(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and graph_of(layer) is not None


def _of_graph(model: keras.Model) -> Any:
    def shape(tensor: Any) -> Any:
        sides = tensor.shape[1:]
        if len(sides) == 3:
            sides = (sides[0] or _IMAGE_SIDES[0], sides[1] or _IMAGE_SIDES[1], sides[2])
        return (2, *sides)

    return keras.tree.map_structure(shape, inputs_of(model))
