"""`Part`: the few numbers of a paper's table, and one method that draws the graph from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Self

import keras

from visiongarden.backends.keras_internals import fresh_names, weightless
from visiongarden.config import Typed
from visiongarden.errors import ContractError, UserError
from visiongarden.layers.folding import folding
from visiongarden.types import FeatureMaps, FeatureSpec, ImageSize, LevelSpec, stride_of

IMAGE = FeatureSpec({"p0": LevelSpec(channels=3, stride=1)})
"""An RGB image as a feature map: level p0, stride 1, values 0 to 1."""

PROBE: ImageSize = (256, 384)
"""Size for shape inference where no size is given; not square, so that swapped sides show."""


class Part(Typed):
    """A backbone, a decoder or a head: frozen fields, and `wire`.

    Parts are compared, printed and written to YAML as values. A subclass adds fields and `wire`,
    and is registered; `get_config`, `build` and channel counts follow from these.
    """

    role: ClassVar[str] = "part"

    def wire(self, inputs: Any) -> Any:
        """Draws the graph: calls layers on symbolic tensors and returns the results.

        Name each layer that has weights (`ConvNormAct(64, 3, name="stem")`): the names are the
        weights' paths.
        """
        raise NotImplementedError(f"{type(self).__name__} has no wire(); write one")

    def as_model(
        self, inputs: FeatureSpec = IMAGE, image_size: ImageSize | None = None
    ) -> keras.Model:
        """A plain `keras.Model` of this part alone, to test, to train or to join.

        Args:
            inputs: levels, channels and strides of what comes in.
            image_size: (height, width) of the image that the features come from, in pixels; None
                leaves both open.
        """
        with fresh_names(), keras.name_scope(self.role):
            tensors = {
                level: keras.Input((*_side(image_size, spec.stride), spec.channels), name=level)
                for level, spec in inputs.items()
            }
            outputs = self._outputs(tensors)
        takes = tensors["p0"] if inputs.keys() == {"p0"} else tensors
        return keras.Model(takes, outputs, name=self.role)

    def shapes(self, inputs: FeatureSpec = IMAGE, image_size: ImageSize | None = None) -> Any:
        """Shapes of what `wire` returns, without creating a weight; batch is None."""
        asked = _Asked(type(self), repr(self.get_config()), self)
        found = _traced(asked, inputs, image_size or PROBE)
        return _each_dict_anew(found)

    def check(self, offered: FeatureSpec, giver: str) -> None:
        """Raises a `ContractError` where `offered` does not suit; `giver` says who offers it."""

    def get_config(self) -> dict[str, Any]:
        """Plain fields, for Keras's serialisation."""
        return {name: value for name, value in self.to_dict().items() if name != "type"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The part that `get_config` described."""
        return cls.from_dict(config)

    def with_fields(self, **changes: Any) -> str:
        """Source text of this part with some fields changed; those are named, also as defaults."""
        said = dict(self.model_copy(update=changes).__repr_args__()) | changes
        order = [name for name in type(self).model_fields if name in said]
        return f"{type(self).__name__}({', '.join(f'{n}={said[n]!r}' for n in order)})"

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # Only what differs: a table of defaults hides the two numbers that matter.
        for name, value in super().__repr_args__():
            field = type(self).model_fields[str(name)]
            if field.is_required() or value != field.get_default(call_default_factory=True):
                yield name, value

    def __str__(self) -> str:
        return repr(self)

    def _outputs(self, tensors: FeatureMaps) -> Any:
        return self.wire(tensors["p0"] if tensors.keys() == {"p0"} else tensors)


@dataclass(frozen=True)
class _Asked:
    """A part as a key: its class and its fields, whatever they are made of."""

    cls: type
    fields: str
    part: Part = field(compare=False)


@lru_cache(maxsize=512)
def _traced(asked: _Asked, inputs: FeatureSpec, size: ImageSize) -> Any:
    # Remembered: a part is a value, so that the same one always draws the same shapes, and joining,
    # counting and checking a model ask several times.
    with weightless(), fresh_names(), folding(False):
        outputs = asked.part._outputs(
            {
                level: keras.KerasTensor((None, *_side(size, spec.stride), spec.channels))
                for level, spec in inputs.items()
            }
        )
    return _shapes_of(outputs)


def _shapes_of(tensors: Any) -> Any:
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), tensors)


def _each_dict_anew(shapes: Any) -> Any:
    """What was remembered, in dicts that the asker may change."""
    if isinstance(shapes, dict):
        return {name: _each_dict_anew(shape) for name, shape in shapes.items()}
    return shapes


class FeaturePart(Part):
    """A part that returns feature maps: backbone or decoder."""

    def spec(
        self,
        inputs: FeatureSpec = IMAGE,
        image_size: ImageSize | None = None,
        drawn: keras.Model | None = None,
    ) -> FeatureSpec:
        """Levels, channels and strides of the output, without creating a weight.

        Strides are measured on shapes, not read from names.

        Args:
            inputs: levels, channels and strides of what comes in.
            image_size: (height, width) of the image in pixels; None takes a size to measure with.
            drawn: this part's `as_model` for both, where it is there already.

        Raises:
            ContractError: a level's map does not have the stride that its name says.
        """
        size = image_size or PROBE
        shapes = self.shapes(inputs, size) if drawn is None else _shapes_of(drawn.output)
        if not isinstance(shapes, dict) or not shapes:
            raise UserError(
                f"{self.role} {self} returns {shapes} from wire()",
                rule="wire() returns a dict of feature maps, level -> tensor",
                fix='return {"p3": x, "p4": y}',
            )
        return FeatureSpec({level: self._level(level, shapes[level], size) for level in shapes})

    def _level(self, level: str, shape: tuple[int, ...], size: ImageSize) -> LevelSpec:
        stride = stride_of(level)
        if len(shape) != 4 or shape[1:3] != (size[0] // stride, size[1] // stride):
            raise ContractError(
                f"{self.role} {self} returns a map as {level} that is none",
                wants=(
                    f"of {level}",
                    f"height × width {_side_text(size, stride)}, stride {stride}",
                ),
                offered=" × ".join(str(n) for n in shape[1:]) + f" for an image of {_size(size)}",
                fix=f"return the map of stride {stride} under {level!r} in wire()",
            )
        return LevelSpec(channels=shape[3], stride=stride)


def _side(size: ImageSize | None, stride: int) -> tuple[int | None, int | None]:
    return (None, None) if size is None else (size[0] // stride, size[1] // stride)


def _side_text(size: ImageSize, stride: int) -> str:
    return f"{size[0] // stride} × {size[1] // stride}"


def _size(size: ImageSize) -> str:
    return f"{size[0]} × {size[1]}"
