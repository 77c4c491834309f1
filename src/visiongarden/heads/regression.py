"""Regression head: values of an image from its pooled feature map."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import keras
from pydantic import Field, PositiveFloat, model_validator

from visiongarden.errors import ConfigError, ContractError, UserError
from visiongarden.losses import Loss, RegressionLoss
from visiongarden.parts import Head
from visiongarden.postprocess import Decoding, ValueDecoding
from visiongarden.registry import register
from visiongarden.types import ClassMap, FeatureMaps, LabelMap, RawPredictions, Tensor

Names = Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]


@register
class Regression(Head):
    """Regression head: a dense layer on the pooled coarsest feature map.

    The layer predicts (value - mean) / scale, so that values of any unit have errors of a similar
    size in the loss, and an untrained model predicts the means.

    Attributes:
        names: names of the values; recipes fill in these four fields from the training images.
        units: unit of each value, "" for none.
        means: mean of each value.
        scales: standard deviation of each value.
        pool: what the dense layer takes. "average" and "max" pool over all positions, so that the
            values cannot depend on where something is, except for what the features encode;
            "flatten" keeps the positions, for images of a fixed size.
        dropout: dropout rate before the dense layer.
        levels: the coarsest one is used; None accepts all levels of the decoder.
        loss: loss of the raw predictions; it reads `means` and `scales` from the head.
        decoding: decoding to values in their units; it reads the same fields.

    Example:
        >>> head = vg.heads.Regression(
        ...     names=("angle",), units=("rad",), means=(0.1,), scales=(0.4,)
        ... )
        >>> head.shapes(vg.backbones.CSPDarknet().spec())
        {'p5': {'values': (None, 1)}}
    """

    task: ClassVar[str] = "regression"
    names: Names
    units: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[PositiveFloat, ...]
    pool: Literal["average", "max", "flatten"] = "average"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    loss: Loss = RegressionLoss()
    decoding: Decoding = ValueDecoding()

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        given: dict[str, tuple[Any, ...]] = {
            "units": self.units, "means": self.means, "scales": self.scales,
        }  # fmt: skip
        for field, values in given.items():
            if len(values) != len(self.names):
                raise ConfigError(
                    f"the head has {len(self.names)} names and {len(values)} {field}",
                    rule=f"one of the {field} for each of {', '.join(self.names)[:200]}",
                    received=f"{field}={values!r:.100}",
                )
        return self

    @property
    def label_map(self) -> LabelMap:
        """Names and units of the values."""
        return LabelMap(self.names, self.units)

    def check_classes(self, class_map: ClassMap) -> None:
        """Refuse other names than those of the values.

        Raises:
            ContractError: the names differ.
        """
        if class_map.names != self.names:
            raise ContractError(
                f"head {self} does not match the names {', '.join(class_map.names)}",
                wants=("names", ", ".join(class_map.names)),
                offered=", ".join(self.names),
                fix=f"class_map={self.names!r}",
            )

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the standardized values {level: {"values": (batch, names)}}."""
        level, x = list(features.items())[-1]
        x = self._pooled(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        return {level: {"values": keras.layers.Dense(len(self.names), name="out")(x)}}

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "average":
            return keras.layers.GlobalAveragePooling2D(name="mean")(x)
        if self.pool == "max":
            return keras.layers.GlobalMaxPooling2D(name="max")(x)
        height, width = x.shape[1:3]
        if height is None or width is None:
            raise UserError(
                "the head Regression with pool='flatten' needs images of a fixed size",
                rule="image_size of the model, or pool='average' or 'max'",
                received="images of any size",
                fix="image_size=(224, 224)",
            )
        return keras.layers.Flatten(name="flatten")(x)
