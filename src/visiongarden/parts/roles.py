"""The three roles of a part: `Backbone`, `Decoder`, `Head`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import field_validator

from visiongarden.errors import ConfigError, ContractError
from visiongarden.parts.fields import Classes
from visiongarden.parts.part import FeaturePart, Part
from visiongarden.types import FeatureMaps, RawPredictions, stride_of

Levels = tuple[str, ...]


def _ordered(levels: Levels | None) -> Levels | None:
    if levels is None:
        return None
    if not levels or len(set(levels)) < len(levels):
        raise ConfigError(
            f"levels {list(levels)} are not sound",
            rule="at least one level, none twice",
            fix='levels=("p3", "p4", "p5")',
        )
    return tuple(sorted(levels, key=stride_of))


class Backbone(FeaturePart):
    """Image -> feature maps.

    Attributes:
        levels: the maps that are given on; deeper stages than the last of them are not made.
    """

    role: ClassVar[str] = "backbone"
    levels: Levels = ("p3", "p4", "p5")

    _sort = field_validator("levels")(_ordered)

    def wire(self, images: Any) -> FeatureMaps:
        """Draws the stages; returns each named stage. Levels not asked for are left out.

        Args:
            images: (batch, height, width, 3), RGB, 0 to 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no wire(); write one")

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
    """Feature maps -> feature maps.

    Attributes:
        levels: the levels it wants, all of which it gives on unless `gives` says otherwise.
    """

    role: ClassVar[str] = "decoder"
    levels: Levels = ("p3", "p4", "p5")

    _sort = field_validator("levels")(_ordered)

    @property
    def gives(self) -> Levels:
        """The levels that it gives on."""
        return self.levels

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Draws the graph from the levels wanted to the levels given on."""
        raise NotImplementedError(f"{type(self).__name__} has no wire(); write one")


class Head(Part):
    """Feature maps -> raw predictions; knows the loss and the postprocess of its kind.

    A class for another task than detection says so: `task: ClassVar[str] = "segmentation"`.

    Attributes:
        num_classes: number of classes, without background.
        levels: the levels it wants; None takes all that it is offered.
    """

    role: ClassVar[str] = "head"
    task: ClassVar[str] = "detection"
    num_classes: Classes
    levels: Levels | None = None

    _sort = field_validator("levels")(_ordered)

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Draws the graph from the levels to the raw predictions."""
        raise NotImplementedError(f"{type(self).__name__} has no wire(); write one")

    def loss(self) -> Any:
        """The loss of this kind of head.

        It is called as `loss(raw, image_size=size, **targets)` with the targets of its task
        (detection: `boxes` and `classes`), and returns {term: scalar}.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss(); it cannot be trained")

    def decode(self) -> Any:
        """What turns raw predictions into results in the graph: `decode(raw, image_size)`.

        It returns a tuple: (boxes, scores) for detection, (scores,) else.
        """
        raise NotImplementedError(f"{type(self).__name__} has no decode(); it cannot predict")
