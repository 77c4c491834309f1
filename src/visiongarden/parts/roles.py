"""The three roles of a part: `Backbone`, `Decoder` and `Head`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import field_validator

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ConfigError, ContractError
from visiongarden.parts.fields import Classes
from visiongarden.parts.part import FeaturePart, Part
from visiongarden.types import FeatureMaps, RawPredictions, Tensor, stride_of

Levels = tuple[str, ...]


def _ordered(levels: Levels | None) -> Levels | None:
    if levels is None:
        return None
    if not levels or len(set(levels)) < len(levels):
        raise ConfigError(
            f"levels {list(levels)} are invalid",
            rule="at least one level, without duplicates",
            fix='levels=("p3", "p4", "p5")',
        )
    return tuple(sorted(levels, key=stride_of))


class Backbone(FeaturePart):
    """Base class of backbones: image -> feature maps.

    Attributes:
        levels: levels that are returned; stages beyond the coarsest of them are not part of the
            model.

    Example:
        >>> @vg.register(package="my_project")
        ... class Stem(vg.Backbone):
        ...     filters: int = 8
        ...
        ...     def wire(self, images):
        ...         x = vg.layers.ConvNormAct(self.filters, 3, strides=2, name="stem")(images)
        ...         return {"p1": x}
        >>> Stem(filters=16, levels=("p1",)).spec()
        FeatureSpec(p1: 16 ch /2)
    """

    role: ClassVar[str] = "backbone"
    levels: Levels = ("p3", "p4", "p5")

    _sort = field_validator("levels")(_ordered)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Preprocessing that the weights of the backbone need; None: any, by default 0 to 1."""
        return None

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages and return the feature map of each one; unused levels are removed later.

        Args:
            images: (batch, height, width, channels) after the model's `preprocessing`, which scales
                to 0 to 1 by default.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement wire()")

    def _outputs(self, tensors: FeatureMaps) -> FeatureMaps:
        maps: FeatureMaps = super()._outputs(tensors)
        missing = [level for level in self.levels if level not in maps]
        if missing:
            has = tuple(level for level in self.levels if level in maps) or tuple(maps)
            raise ContractError(
                f"backbone {self} has no level {' '.join(missing)}",
                wants=("levels", " ".join(self.levels)),
                offered=" ".join(sorted(maps)),
                fix=self.with_fields(levels=has),
            )
        return {level: maps[level] for level in self.levels}


class Decoder(FeaturePart):
    """Base class of decoders: feature maps -> feature maps.

    Attributes:
        levels: required levels; all of them are returned unless `output_levels` is overridden.

    Example:
        >>> @vg.register(package="my_project")
        ... class Narrow(vg.Decoder):
        ...     def wire(self, features):
        ...         return {
        ...             level: vg.layers.ConvNormAct(16, name=f"narrow_{level}")(features[level])
        ...             for level in self.levels
        ...         }
        >>> Narrow(levels=("p4", "p5")).spec(vg.backbones.CSPDarknet().spec())
        FeatureSpec(p4: 16 ch /16, p5: 16 ch /32)
    """

    role: ClassVar[str] = "decoder"
    levels: Levels = ("p3", "p4", "p5")

    _sort = field_validator("levels")(_ordered)

    @property
    def output_levels(self) -> Levels:
        """Levels that the decoder returns."""
        return self.levels

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the graph from the required levels to the returned levels.

        Args:
            features: level -> (batch, height, width, channels).
        """
        raise NotImplementedError(f"{type(self).__name__} must implement wire()")


@runtime_checkable
class Anchored(Protocol):
    """A head with anchors."""

    @property
    def anchors(self) -> Mapping[str, Sequence[tuple[float, float]]]:
        """Level -> (width, height) of each anchor, in pixels of the network's input."""


class Head(Part):
    """Base class of heads: feature maps -> raw predictions, with their loss and decoding.

    A head for another task than detection declares it: `task: ClassVar[str] = "segmentation"`.

    Attributes:
        num_classes: number of classes, without background.
        levels: levels that are required; None accepts all levels of the decoder.

    Example:
        >>> @vg.register(package="my_project")
        ... class ObjectnessHead(vg.Head):
        ...     def wire(self, features):
        ...         return {
        ...             level: {"objectness": vg.layers.Convolution(1, name=f"{level}_out")(x)}
        ...             for level, x in features.items()
        ...         }
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> ObjectnessHead(num_classes=1).shapes(features, image_size=(64, 64))["p3"]
        {'objectness': (None, 8, 8, 1)}
    """

    role: ClassVar[str] = "head"
    task: ClassVar[str] = "detection"
    num_classes: Classes
    levels: Levels | None = None

    _sort = field_validator("levels")(_ordered)

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the graph from the feature maps to the raw predictions.

        Args:
            features: level -> (batch, height, width, channels).

        Returns:
            level -> name -> tensor.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement wire()")

    def loss(self) -> Callable[..., dict[str, Tensor]]:
        """Return the loss of this head.

        It is called as `loss(raw, image_size=size, **targets)` with the targets of the task
        (`boxes` and `classes` for detection), and returns {term: scalar}.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement loss() to be trained")

    def decode(self) -> Callable[..., tuple[Tensor, ...]]:
        """Return the function that decodes raw predictions in the graph: `decode(raw, image_size)`.

        It returns a tuple: (boxes, scores) for detection, (scores,) for the other tasks.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement decode() to predict")
