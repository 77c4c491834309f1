"""`Rules`: how the weights of a published checkpoint map to those of a model, as data."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from visiongarden.config import Value
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ConfigError, UserError
from visiongarden.weights.rename import prefix_rule

MAX_AXES = 8

Fields: TypeAlias = dict[str, bool | int | float | str | list[int]]
"""Fields of a part, with the values that it must have."""


class Change(Value):
    """A change of an array's values, in the order of the fields.

    Attributes:
        transpose: New order of the axes of the array as the source stores it; the axes are then
            not converted from PyTorch's order.
        reshape: New shape; -1 stands for one side that follows from the others.
        reverse: Axes whose order is reversed, such as -2 for a kernel (height, width, in, out) that
            was trained on BGR images.
        input_parts: Order of the equal parts of the input channels (axis -2) of a kernel, where the
            source concatenates its maps in another order: [1, 0] exchanges two maps.
        scale: Factor.
        add: Summand.

    Example:
        >>> vg.weights.Change(transpose=(1, 0)).apply(np.zeros((2, 5))).shape
        (5, 2)
    """

    transpose: tuple[int, ...] | None = None
    reshape: tuple[int, ...] | None = None
    reverse: tuple[int, ...] = ()
    input_parts: tuple[int, ...] | None = None
    scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    add: Annotated[float, Field(allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _axes(self) -> Self:
        axes = self.transpose
        if axes is not None and sorted(axes) != list(range(len(axes))):
            raise ConfigError(
                f"transpose is {list(axes)}", rule="each axis once", fix="transpose: [1, 0]"
            )
        parts = self.input_parts
        if parts is not None and sorted(parts) != list(range(len(parts))):
            raise ConfigError(
                f"input_parts is {list(parts)}", rule="each part once", fix="input_parts: [1, 0]"
            )
        shape = self.reshape or ()
        if any(side < -1 for side in shape) or shape.count(-1) > 1 or len(shape) > MAX_AXES:
            raise ConfigError(
                f"reshape is {list(shape)}", rule="sides of 0 or more, and at most one -1"
            )
        return self

    def apply(self, array: Any) -> Any:
        """Return the changed array.

        Raises:
            ValueError: If the shape of the array does not suit.
        """
        if self.transpose is not None:
            array = np.transpose(array, self.transpose)
        if self.reshape is not None:
            array = np.reshape(array, self.reshape)
        for axis in self.reverse:
            if not -array.ndim <= axis < array.ndim:
                raise ValueError(f"there is no axis {axis}")
            array = np.flip(array, axis)
        if self.input_parts is not None:
            pieces = np.split(array, len(self.input_parts), axis=-2)  # raises where not divisible
            array = np.concatenate([pieces[part] for part in self.input_parts], axis=-2)
        if self.scale != 1:
            array = array * np.asarray(self.scale, array.dtype)
        return array + np.asarray(self.add, array.dtype) if self.add else array


class Rules(Value):
    """How the weights of a published checkpoint map to those of a model.

    Rules rename weights and, where the architectures store them in another form, change values.
    They are read from YAML, so that a file adds a checkpoint: see `docs/weights.md`.

    Attributes:
        name: Name, such as "torchvision-resnet".
        source: Checkpoints that the rules are for, in words.
        names: Rules that replace the start of a name by whole segments, applied in order, as in
            `transfer(rename=…)`: `{"layer{n}.{i}": "backbone/stage{n+1}/unit{i+1}"}`. Unlike
            there, a rule may match nothing.
        ignored: Prefixes of names that are not weights of the model, such as counters.
        layout: Naming and axis order of the source, "keras" or "torch"; "auto" decides by each
            name.
        values: Changes of values by prefix of the model's path.
        epsilon: Epsilon of the source's batch normalization. Where the model's differs, the moving
            variance is shifted, so that both compute the same.
        preprocessing: Preprocessing of 8-bit RGB that the weights were trained with. A transfer of
            the backbone sets it in the model; the weights are not changed.
        backbone: Class of the backbone that the rules are for, such as "ResNet"; "" for any.
        fields: Fields that this backbone must have, such as `{"asymmetric": True}`, where the
            shapes of the weights do not show them.
        decoder: Class of the decoder that the rules are for; "" if they are for none in particular.
        decoder_fields: Fields that this decoder must have to receive its weights.
        head: Class of the head that the rules are for; "" if they are for no head in particular.
        head_fields: Fields that this head must have to receive its weights, such as
            `{"anchor_offset": 0.0}`.
        classes: Meaning of the rows of the class output, in words, if it is the same in all
            checkpoints. The rows are then copied to a model of as many classes without names.

    Raises:
        ConfigError: A field is not valid.

    Example:
        >>> rules = vg.weights.Rules(name="mine", names={"layer{n}": "stage{n+1}"})
        >>> rules.renamed("layer3.conv.weight")
        'stage4.conv.weight'
    """

    name: Annotated[str, Field(min_length=1, max_length=80)]
    source: str = ""
    names: dict[str, str]
    ignored: tuple[str, ...] = ()
    layout: Literal["auto", "keras", "torch"] = "auto"
    values: dict[str, Change] = Field(default_factory=dict)
    epsilon: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    preprocessing: Preprocessing | None = None
    backbone: str = ""
    fields: Fields = Field(default_factory=dict)
    decoder: str = ""
    decoder_fields: Fields = Field(default_factory=dict)
    head: str = ""
    head_fields: Fields = Field(default_factory=dict)
    classes: str = ""

    @model_validator(mode="after")
    def _patterns(self) -> Self:
        sides = [*self.names.items(), *((old, "") for old in (*self.ignored, *self.values))]
        for old, new in sides:
            try:
                compiled(old, new)
            except UserError as error:
                raise ConfigError(
                    f"rules {self.name}: {error.what}",
                    rule=error.rule,
                    received=error.received,
                    fix=error.fix,
                ) from error
        return self

    def suits(self, backbone: Any) -> bool:
        """Return whether the rules are for a backbone, a part; None stands for an unknown one."""
        if backbone is None or not self.backbone:
            return True
        return type(backbone).__name__ == self.backbone and not self.unsuited(backbone)

    def unsuited(self, backbone: Any) -> dict[str, Any]:
        """Return the fields, with the values they must have, in which a backbone differs."""
        return _differing(backbone, self.backbone, self.fields)

    def unsuited_decoder(self, decoder: Any) -> dict[str, Any]:
        """Return the fields, with the values they must have, in which a decoder differs."""
        return _differing(decoder, self.decoder, self.decoder_fields)

    def unsuited_head(self, head: Any) -> dict[str, Any]:
        """Return the fields, with the values they must have, in which a head differs."""
        return _differing(head, self.head, self.head_fields)

    def renamed(self, name: str) -> str:
        """Return the name of a weight after all rules of `names`."""
        for old, new in self.names.items():
            after = compiled(old, new)(name)
            name = name if after is None else after
        return name

    def ignores(self, name: str) -> bool:
        """Return whether a name of the source is not that of a weight."""
        return any(compiled(old, "")(name) is not None for old in self.ignored)

    def change_of(self, path: str) -> Change | None:
        """Return the change of values of a weight of the model, or None."""
        found = (
            change for old, change in self.values.items() if compiled(old, "")(path) is not None
        )
        return next(found, None)


def _differing(part: Any, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    if type(part).__name__ != kind:
        return {}
    own = part.to_dict()
    return {name: value for name, value in fields.items() if own.get(name) != value}


compiled = functools.lru_cache(maxsize=4096)(prefix_rule)
