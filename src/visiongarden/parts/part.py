"""`Part`: the hyperparameters of an architecture, and one method that builds its graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Self

import keras

from visiongarden import markup
from visiongarden.backends.initial_values import quick_samples
from visiongarden.backends.names import fresh_names
from visiongarden.backends.weightless import weightless
from visiongarden.config import Concise, reading_files, writing_files
from visiongarden.errors import ContractError, UserError, model_field
from visiongarden.layers.fold import folding
from visiongarden.types import FeatureMaps, FeatureSpec, ImageSize, LevelSpec, map_size, stride_of

IMAGE = FeatureSpec({"p0": LevelSpec(channels=3, stride=1)})
"""Spec of an RGB image as a feature map: level p0, stride 1. A part alone takes preprocessed
values, from 0 to 1 unless its `preprocessing` differs."""

PROBE: ImageSize = (256, 384)
"""Image size for shape inference without an image size; not square, to reveal swapped
dimensions."""


class Part(Concise):
    """Base class of backbones, decoders and heads: frozen fields and the method `wire`.

    Parts are values: they are compared, printed and written to YAML by their fields. A subclass
    adds fields and `wire` and is registered; the config, the shapes and the channel counts follow
    from these.
    """

    role: ClassVar[str] = "part"
    training_only: ClassVar[frozenset[str]] = frozenset()
    """Fields without effect on the graph."""

    def wire(self, inputs: Any) -> Any:
        """Build the graph: call layers on symbolic tensors and return the results.

        A backbone takes one tensor, the other roles take feature maps; see the subclasses.

        Name each layer that has weights, such as `ConvNormAct(64, 3, name="stem")`; the names
        become the paths of the weights.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement wire()")

    def as_model(
        self,
        inputs: FeatureSpec = IMAGE,
        image_size: ImageSize | int | None = None,
        name: str | None = None,
    ) -> keras.Model:
        """Return a plain `keras.Model` of this part alone, for testing, training or connecting.

        Args:
            inputs: levels, channels and strides of the inputs.
            image_size: (height, width) in pixels of the image that the features belong to, or one
                number for both; None leaves height and width unknown.
            name: name of the model; by default the role of the part.
        """
        if isinstance(image_size, int):
            image_size = (image_size, image_size)
        # Automatic names count from the start, so that the paths of weights do not depend on the
        # layers that were created before.
        with fresh_names(), keras.name_scope(name or self.role), quick_samples():
            tensors = feature_inputs(inputs, image_size)
            takes, outputs = self._graph(tensors)
        # Outside the scope, which is part of the paths of what is created in it.
        return self._model(takes, outputs, name or self.role)

    def _graph(self, tensors: FeatureMaps) -> tuple[Any, Any]:
        """Return the inputs and outputs of the part's model."""
        takes = tensors["p0"] if tensors.keys() == {"p0"} else tensors
        return takes, self._raw_outputs(tensors)

    def _model(self, takes: Any, outputs: Any, name: str) -> keras.Model:
        return keras.Model(takes, outputs, name=name)

    def shapes(self, inputs: FeatureSpec = IMAGE, image_size: ImageSize | None = None) -> Any:
        """Return the shapes of the outputs of `wire`, without creating a weight.

        The batch size is None.

        Args:
            inputs: levels, channels and strides of the inputs.
            image_size: (height, width) in pixels; None means (256, 384).
        """
        config = self.get_config()
        fields = {name: config[name] for name in config if name not in self.training_only}
        asked = _Asked(type(self), repr(fields), self)
        found = _traced(asked, inputs, image_size or PROBE)
        return _copied_dicts(found)

    def check(self, offered: FeatureSpec, giver: str) -> None:
        """Raise a `ContractError` if the feature maps `offered` by the preceding part do not fit.

        Args:
            offered: levels, channels and strides that the preceding part returns.
            giver: role and repr of the preceding part, for the message.
        """

    def get_config(self) -> dict[str, Any]:
        """Return the fields as plain values, for the serialization of Keras."""
        with writing_files():
            return {name: value for name, value in self.to_dict().items() if name != "type"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create the part from the config that `get_config` returned.

        Values of `training_only` fields that cannot be built are kept, see `config.Unknown`.
        """
        with reading_files():
            return cls.from_dict(config)

    def with_fields(self, **changes: Any) -> str:
        """Return this part with some fields changed, for the fix of an error.

        Where a recipe describes the model, these are the overrides, else the source code. The
        changed fields are always written out, even if they equal the defaults.
        """
        overrides = [model_field(name, value, self) for name, value in changes.items()]
        if None not in overrides:
            return " ".join(map(str, overrides))
        values = dict(self.model_copy(update=changes).__repr_args__()) | changes
        order = [name for name in self.field_order() if name in values]
        return f"{type(self).__name__}({', '.join(f'{n}={values[n]!r}' for n in order)})"

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        values = dict(self)
        set_fields = {name for name, _ in self.__repr_args__()}
        rows = [
            (name, repr(values[name]), "" if name in set_fields else "default")
            for name in type(self).model_fields
        ]
        title = f"{type(self).__name__} ({self.role})"
        return markup.section(title, markup.table(("field", "value", ""), rows))

    def _raw_outputs(self, tensors: FeatureMaps) -> Any:
        return self.wire(tensors["p0"] if tensors.keys() == {"p0"} else tensors)


def feature_inputs(inputs: FeatureSpec, image_size: ImageSize | None) -> FeatureMaps:
    """Return an input for each feature map.

    Args:
        inputs: levels, channels and strides.
        image_size: (height, width) in pixels of the image; None leaves height and width unknown.
    """
    return {
        level: keras.Input((*_side(image_size, spec.stride), spec.channels), name=level)
        for level, spec in inputs.items()
    }


@dataclass(frozen=True)
class _Asked:
    """Cache key of a part: its class and its config as text, since fields need not be hashable."""

    cls: type
    fields: str
    part: Part = field(compare=False)


@lru_cache(maxsize=512)
def _traced(asked: _Asked, inputs: FeatureSpec, size: ImageSize) -> Any:
    # Cached: equal parts have equal shapes, and connecting, counting and checking a model would
    # each trace the same part again. Folding is disabled, because it is not part of the key.
    with weightless(), fresh_names(), folding(False):
        outputs = asked.part._raw_outputs(
            {
                level: keras.KerasTensor((None, *_side(size, spec.stride), spec.channels))
                for level, spec in inputs.items()
            }
        )
    return _shapes_of(outputs)


def _shapes_of(tensors: Any) -> Any:
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), tensors)


def _copied_dicts(shapes: Any) -> Any:
    """Return the cached shapes in new dicts, which the caller may modify."""
    if isinstance(shapes, dict):
        return {name: _copied_dicts(shape) for name, shape in shapes.items()}
    return shapes


class FeaturePart(Part):
    """Base class of the parts that return feature maps: backbones and decoders."""

    def spec(
        self,
        inputs: FeatureSpec = IMAGE,
        image_size: ImageSize | None = None,
        built: keras.Model | None = None,
    ) -> FeatureSpec:
        """Return levels, channels and strides of the outputs, without creating a weight.

        Strides are measured on the shapes, not derived from the level names.

        Args:
            inputs: levels, channels and strides of the inputs.
            image_size: (height, width) in pixels; None means (256, 384).
            built: model of this part for the same inputs and image size, if there is one; its
                shapes are used instead of a trace.

        Raises:
            ContractError: a feature map does not have the stride of its level.
            UserError: `wire` returns no dict of feature maps.
        """
        size = image_size or PROBE
        shapes = self.shapes(inputs, size) if built is None else _shapes_of(built.output)
        if not isinstance(shapes, dict) or not shapes:
            raise UserError(
                f"{self.role} {self} returns {shapes} from wire()",
                rule="wire() returns a dict of feature maps, level -> tensor",
                fix='return {"p3": x, "p4": y}',
            )
        return FeatureSpec({level: self._level(level, shapes[level], size) for level in shapes})

    def _level(self, level: str, shape: tuple[int, ...], size: ImageSize) -> LevelSpec:
        stride = stride_of(level)
        if len(shape) != 4 or shape[1:3] != map_size(size, stride):
            raise ContractError(
                f"{self.role} {self} returns a map for {level} with the wrong size",
                wants=(
                    f"of {level}",
                    f"height × width {_side_text(size, stride)}, stride {stride}",
                ),
                offered=" × ".join(str(n) for n in shape[1:]) + f" for an image of {_size(size)}",
                fix=f"return the map of stride {stride} under {level!r} in wire()",
            )
        return LevelSpec(channels=shape[3], stride=stride)


def _side(size: ImageSize | None, stride: int) -> tuple[int | None, int | None]:
    return (None, None) if size is None else map_size(size, stride)


def _side_text(size: ImageSize, stride: int) -> str:
    rows, columns = map_size(size, stride)
    return f"{rows} × {columns}"


def _size(size: ImageSize) -> str:
    return f"{size[0]} × {size[1]}"
