"""The three roles of a part: `Backbone`, `Decoder` and `Head`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import keras
import numpy as np
from pydantic import (
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from visiongarden.assigners import Assigner
from visiongarden.config import Typed, Unknown
from visiongarden.config.files import is_reading_files
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ConfigError, ContractError, UserError
from visiongarden.losses import Loss
from visiongarden.parts.part import FeaturePart, Part
from visiongarden.parts.target_inputs import PREFIX, WithTargets, target_inputs
from visiongarden.postprocess import Decoding
from visiongarden.types import (
    ClassMap,
    FeatureMaps,
    RawPredictions,
    Tensor,
    stride_of,
)

Levels = tuple[str, ...]

_KINDS_OF_FIELDS = (
    ("loss", "vg.losses.Loss"),
    ("assigner", "vg.assigners.Assigner"),
    ("decoding", "vg.postprocess.Decoding"),
)
"""Fields of heads and the base class of their values."""


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


def _merged(default: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a default with those that are given, also inside its own values."""
    found = dict(default)
    for name, value in given.items():
        own = default.get(name)
        is_own = isinstance(own, Mapping) and "type" in own
        if is_own and isinstance(value, Mapping) and "type" not in value:
            value = _merged(dict(own or {}), value)
        found[name] = value
    return found


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

    @property
    def is_pretrained(self) -> bool:
        """Whether a new model has pretrained weights in this backbone."""
        return False

    def check_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Check the preprocessing of a model with this backbone; by default any is accepted.

        Raises:
            UserError: The weights of the backbone were trained on other values.
        """

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages and return the feature map of each one; unused levels are removed later.

        Args:
            images: (batch, height, width, channels) after the model's `preprocessing`, which scales
                to 0 to 1 by default.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement wire()")

    def _raw_outputs(self, tensors: FeatureMaps) -> FeatureMaps:
        maps: FeatureMaps = super()._raw_outputs(tensors)
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


def _first_of(error: ValidationError | UserError) -> str:
    """Return the first problem in one line."""
    if isinstance(error, UserError):
        return str(error).partition("\n")[0]
    first = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"] if not str(step).startswith("function-"))
    text = first["msg"].removeprefix("Value error, ").partition("\n")[0]
    return f"{place}: {text}" if place else text


@runtime_checkable
class OfClasses(Protocol):
    """A head that predicts classes."""

    @property
    def num_classes(self) -> int:
        """Number of classes, without background."""


@runtime_checkable
class OfAnchors(Protocol):
    """A head whose predictions belong to anchors."""

    def anchor_shapes(self, level: str) -> np.ndarray:
        """Return (width, height) of each anchor of a level in pixels, float32 (anchors, 2)."""

    def fitting_anchors(self, sides: np.ndarray, levels: Sequence[str]) -> dict[str, Any]:
        """Return values of fields whose anchors have the size of objects.

        Args:
            sides: width and height of each object in pixels, (n, 2).
            levels: names of the levels.
        """


class _HeadModel(WithTargets):
    """Model of a head that takes targets."""


class Head(Part):
    """Base class of heads: feature maps -> raw predictions, with their loss and decoding.

    A head for another task than detection declares it: `task: ClassVar[str] = "segmentation"`. A
    head with classes has the field `num_classes: int`, without background; recipes fill it in from
    the dataset. `loss` and `assigner` are used in training alone; `decoding` is part of an exported
    file. A mapping without `type`, such as `loss={"box_gain": 5}`, changes fields of the default.

    A head that needs targets in the forward pass, to sample regions, names them in `target_inputs`:
    `wire(features, targets)` then takes a dict of them as well. They are None in predictions, so
    that a layer takes each as an argument whose default is None. Raw predictions have the same
    names in both cases.

    Attributes:
        levels: levels that are required; None accepts all levels of the decoder.
        loss: loss of the raw predictions; None for a head that cannot be trained.
        assigner: what decides which prediction is trained on which object; None is the default of
            the head.
        decoding: decoding of the raw predictions; None for a head that cannot predict.

    Example:
        >>> @vg.register(package="my_project")
        ... class ObjectnessHead(vg.Head):
        ...     def wire(self, features):
        ...         return {
        ...             level: {"objectness": vg.layers.Convolution(1, name=f"{level}_out")(x)}
        ...             for level, x in features.items()
        ...         }
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> ObjectnessHead().shapes(features, image_size=(64, 64))["p3"]
        {'objectness': (None, 8, 8, 1)}
    """

    role: ClassVar[str] = "head"
    task: ClassVar[str] = "detection"
    training_only: ClassVar[frozenset[str]] = frozenset({"loss", "assigner"})
    target_inputs: ClassVar[tuple[str, ...]] = ()
    levels: Levels | None = None
    loss: Loss | None = None
    assigner: Assigner | None = None
    decoding: Decoding | None = None

    _sort = field_validator("levels")(_ordered)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse methods with the names of fields, which pydantic would report unclearly."""
        super().__init_subclass__(**kwargs)
        for name, base in _KINDS_OF_FIELDS:
            if isinstance(vars(cls).get(name), FunctionType):
                raise UserError(
                    f"the head {cls.__name__} has a method {name}()",
                    rule=f"`{name}` is a field, whose value is a subclass of {base}",
                    fix=f"{name}: {base} = …",
                )

    @field_validator("loss", "assigner", "decoding", mode="before")
    @classmethod
    def _with_default_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Add the fields of the default to a mapping without `type`."""
        default = cls.model_fields[str(info.field_name)].default
        if isinstance(value, Mapping) and "type" not in value and isinstance(default, Typed):
            # Validated here, so that an error names the class of the default.
            return type(default).from_dict(_merged(default.to_dict(), value))
        return value

    @field_validator("loss", "assigner", mode="wrap")
    @classmethod
    def _kept_in_files(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """Keep what a file contains if it cannot be built: predictions do not need it."""
        if isinstance(value, Unknown):
            return value
        if not is_reading_files():
            return handler(value)
        try:
            return handler(value)
        except (ValidationError, UserError) as error:
            return Unknown.of(value, _first_of(error))

    @model_validator(mode="after")
    def _has_what_is_read(self) -> Self:
        for name, reader in (("loss", self.loss), ("decoding", self.decoding)):
            needed = reader.head_fields if isinstance(reader, Loss | Decoding) else ()
            missing = [field for field in needed if field not in dict(self)]
            if missing:
                raise ConfigError(
                    f"the {name} {type(reader).__name__} does not fit the head "
                    f"{type(self).__name__}",
                    rule="a head with the fields " + ", ".join(needed),
                    received="a head without " + ", ".join(missing),
                    fix=f"{name}={type(self).model_fields[name].default!r}",
                )
        return self

    def _graph(self, tensors: FeatureMaps) -> tuple[Any, Any]:
        if not self.target_inputs:
            return super()._graph(tensors)
        targets = target_inputs(self.target_inputs)
        takes = tensors | {f"{PREFIX}{key}": tensor for key, tensor in targets.items()}
        return takes, self._wired(tensors, targets)

    def _model(self, takes: Any, outputs: Any, name: str) -> keras.Model:
        if not self.target_inputs:
            return super()._model(takes, outputs, name)
        model = _HeadModel(takes, outputs, name=name)
        model.take_targets(self.target_inputs)
        return model

    def _raw_outputs(self, tensors: FeatureMaps) -> Any:
        if not self.target_inputs:
            return super()._raw_outputs(tensors)
        return self._wired(tensors, dict.fromkeys(self.target_inputs))

    def _wired(self, features: FeatureMaps, targets: Mapping[str, Any]) -> Any:
        wire: Any = self.wire  # takes targets as well if the class names some
        return wire(features, targets)

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of the raw predictions through which no gradient passes, such as regions."""
        return ()

    def check_classes(self, class_map: ClassMap) -> None:
        """Refuse class names that do not fit the head: by default, another number of them.

        Args:
            class_map: names of the classes of the model.

        Raises:
            ContractError: the names do not fit.
        """
        if isinstance(self, OfClasses) and self.num_classes != len(class_map):
            raise ContractError(
                f"head {self} does not match the classes {', '.join(class_map.names)}",
                wants=("num_classes", str(len(class_map))),
                offered=str(self.num_classes),
                fix=self.with_fields(num_classes=len(class_map)),
            )

    def chosen_loss(self) -> Loss:
        """Return the loss.

        Raises:
            UserError: the head has no loss, or its file contains one that is not known here.
        """
        found: Loss = self._chosen("loss", "a loss, to be trained")
        return found

    def chosen_assigner(self) -> Assigner:
        """Return the assigner, or that of the head if the field is None.

        Raises:
            UserError: the head has no assigner, or its file contains one that is not known here.
        """
        rule = "an assigner, which decides which prediction is trained on which object"
        found: Assigner = self._chosen("assigner", rule)
        return found

    def chosen_decoding(self) -> Decoding:
        """Return the decoding.

        Raises:
            UserError: the head has no decoding.
        """
        rule = "a decoding, which turns raw predictions into results"
        found: Decoding = self._chosen("decoding", rule)
        return found

    def _chosen(self, name: str, rule: str) -> Any:
        """Return the value of a field that may be None, or unknown in a file."""
        value = dict(self)[name]
        if isinstance(value, Unknown):
            raise value.error(f"the {name} of the head {type(self).__name__}")
        if value is None:
            raise UserError(
                f"the head {type(self).__name__} has no {name}",
                rule=rule,
                fix=f"{name}: {dict(_KINDS_OF_FIELDS)[name]} = …, as a field of the head",
            )
        return value

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the graph from the feature maps to the raw predictions.

        Args:
            features: level -> (batch, height, width, channels).

        Returns:
            level -> name -> tensor.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement wire()")
