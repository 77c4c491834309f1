"""`Preprocessing`: how a model turns pixel values as stored into what its backbone takes."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from visiongarden.config import Value
from visiongarden.data.layout import Layout
from visiongarden.errors import ConfigError
from visiongarden.types import FeatureSpec, LevelSpec

PixelType = Literal["uint8", "uint16", "float32"]
"""Type of the pixel values that image files decode to."""

PerChannel = float | tuple[float, ...]
"""One number for all channels, or one per channel that the backbone takes."""

MAX_CHANNELS = 1024
"""Largest number of channels; hyperspectral cameras have some hundred."""

_SCALES = {"uint8": 1 / 255, "uint16": 1 / 65535, "float32": 1.0}
_MAX_VALUE = {"uint8": 255, "uint16": 65535}


def _default_scale(fields: dict[str, Any]) -> float:
    return _SCALES[fields.get("dtype", "uint8")]


class Preprocessing(Value):
    """What the first layer of a model does to images: reorder, scale and normalize the channels.

    The backbone takes `(images[..., order] * scale - mean) / std`, computed in float32. The images
    have pixel values as stored, 0 to 255 for 8 bits and 0 to 65535 for 16 bits.

    Attributes:
        channels: Number of channels of the images.
        dtype: Type of the pixel values as stored: "uint8", "uint16" or "float32". Arrays of another
            type, in the same range, may be passed to `model(images)`; it is the input type of an
            exported file.
        order: Indices of the channels that the backbone takes, in its order: (2, 1, 0) for a
            backbone that takes BGR, (0, 0, 0) for gray images and a backbone that takes RGB. None:
            all channels in their order.
        scale: Factor of the pixel values; by default 1 / 255, for uint16 1 / 65535, and for float32
            1.
        mean: Value that is subtracted after scaling: one, or one per channel of the backbone.
        std: Value by which the difference is divided: one, or one per channel of the backbone.

    Raises:
        ConfigError: A field is not valid.

    Example:
        >>> vg.Preprocessing(channels=4, dtype="uint16").scale * 65535
        1.0
        >>> print(vg.Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)))
        3 channels of uint8, scale 1/255, mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)
    """

    channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] = 3
    dtype: PixelType = "uint8"
    order: tuple[int, ...] | None = None
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default_factory=_default_scale
    )
    mean: PerChannel = 0.0
    std: PerChannel = 1.0

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _plain_numbers(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.order is not None:
            self._check_order(self.order)
        for name, value in (("mean", self.mean), ("std", self.std)):
            self._check_values(name, value)
        return self

    def _check_order(self, order: tuple[int, ...]) -> None:
        # Repeated channels are allowed: (0, 0, 0) makes RGB of gray.
        valid = 0 < len(order) <= MAX_CHANNELS and all(0 <= i < self.channels for i in order)
        if not valid:
            raise ConfigError(
                f"order is {str(list(order))[:60]}",
                rule=f"1 to {MAX_CHANNELS} indices of the image's channels, 0 to "
                f"{self.channels - 1}",
                fix=f"order={list(range(self.channels))}",
            )

    def _check_values(self, name: str, value: PerChannel) -> None:
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and len(value) != self.output_channels:
            raise ConfigError(
                f"{name} has {len(value)} values",
                rule=f"one number, or one for each of the backbone's {self.output_channels} "
                "channels",
                fix=f"{name}={[0.0 if name == 'mean' else 1.0] * self.output_channels}",
            )
        if not all(math.isfinite(v) and (name == "mean" or v > 0) for v in values):
            rule = "finite numbers" if name == "mean" else "finite numbers above 0"
            raise ConfigError(f"{name} is {value}", rule=rule)

    @property
    def output_channels(self) -> int:
        """Number of channels that the backbone takes."""
        return self.channels if self.order is None else len(self.order)

    @property
    def output(self) -> FeatureSpec:
        """Spec of the preprocessed image as a feature map: level p0, stride 1."""
        return FeatureSpec({"p0": LevelSpec(channels=self.output_channels, stride=1)})

    @property
    def layout(self) -> Layout:
        """Number of channels and type of the images as stored."""
        return Layout(self.channels, self.dtype)

    @property
    def max_value(self) -> int | None:
        """Largest pixel value that the type can hold; None for float32."""
        return _MAX_VALUE.get(self.dtype)

    @property
    def is_plain(self) -> bool:
        """Whether the values are only scaled to 0 to 1, in the order of the images' channels."""
        order = self._taken == tuple(range(self.channels))
        values = (set(_each(self.mean)), set(_each(self.std)))
        is_share = math.isclose(self.scale * (self.max_value or 1), 1, rel_tol=1e-6)
        return order and is_share and values == ({0.0}, {1.0})

    def suits_weights(self, needed: Preprocessing) -> bool:
        """Return whether weights that need another preprocessing can get their values from this.

        For 8 bits the values must be the same. Of 16 bits, images may use a part, so that only a
        scale that is too small even for the whole range is known to be wrong.
        """
        if self.output_channels != needed.output_channels:
            return True  # the shapes of the weights differ, which is found elsewhere
        same = needed.for_layout(self.layout)
        if self.dtype != "uint16":
            return same.is_same_to_backbone(self)
        own, least = self._slopes(), same._slopes()
        return all(a >= b * (1 - 1e-4) for a, b in zip(own, least, strict=True))

    def _slopes(self) -> list[float]:
        stds = self.std if isinstance(self.std, tuple) else (self.std,) * self.output_channels
        return [self.scale / std for std in stds]

    def is_same_to_backbone(self, other: Preprocessing) -> bool:
        """Return whether weights trained with one preprocessing suit the other, as far as known.

        The order of equally many channels is compared, and the numbers for 8-bit images. The range
        of other images is not known: 12-bit values are stored as uint16, too.

        Example:
            >>> vg.Preprocessing().is_same_to_backbone(vg.Preprocessing(dtype="uint16"))
            True
            >>> vg.Preprocessing().is_same_to_backbone(vg.Preprocessing(order=(2, 1, 0)))
            False
        """
        if self.channels == other.channels and self._taken != other._taken:
            return False
        if not self.dtype == other.dtype == "uint8":
            return True
        if self.output_channels != other.output_channels:
            return True
        return all(
            math.isclose(one, two, rel_tol=1e-4, abs_tol=1e-6)
            for one, two in zip(self._black_and_white(), other._black_and_white(), strict=True)
        )

    def for_layout(
        self, layout: Layout, value_range: tuple[float, float] | None = None
    ) -> Preprocessing:
        """Return a preprocessing of other images that gives the backbone the same values.

        The same channels are taken, or gray is repeated. Black and white are those of this
        preprocessing's type.

        Args:
            layout: Number of channels and type of the images.
            value_range: Smallest and largest value that the pixels can have; by default that of the
                type, and 0 to 1 for float32.

        Example:
            >>> vgg = vg.Preprocessing(order=(2, 1, 0), scale=1.0, mean=(103.9, 116.8, 123.7))
            >>> print(vgg.for_layout(vg.data.Layout(1, "uint8")))
            1 channel of uint8, order (0, 0, 0), mean (103.9, 116.8, 123.7)
        """
        if layout == self.layout and value_range is None:
            return self
        order = self.order if layout.channels == self.channels else self._taken
        if order is not None and max(order) >= layout.channels:
            order = (0,) * len(order)
        low, high = _checked_range(value_range or (0, _MAX_VALUE.get(layout.dtype, 1)))
        scale = self.scale * (self.max_value or 1) / (high - low)
        mean = self.mean
        if low:
            means = mean if isinstance(mean, tuple) else (mean,)
            mean = tuple(value + low * scale for value in means)
            mean = mean if isinstance(self.mean, tuple) else mean[0]
        return Preprocessing(
            channels=layout.channels,
            dtype=layout.dtype,
            order=order,
            scale=scale,
            mean=mean,
            std=self.std,
        )

    def stated(self) -> dict[str, Any]:
        """Return the fields that differ from the defaults, and channels and type."""
        fields = self.to_dict()
        default = Preprocessing(channels=self.channels, dtype=self.dtype).to_dict()
        return {
            name: value
            for name, value in fields.items()
            if name in ("channels", "dtype") or value != default[name]
        }

    @property
    def _taken(self) -> tuple[int, ...]:
        return tuple(range(self.channels)) if self.order is None else self.order

    def _black_and_white(self) -> list[float]:
        """Return what the backbone takes for 0 and for 255, by channel."""
        count = self.output_channels
        means, stds = (v if isinstance(v, tuple) else (v,) * count for v in (self.mean, self.std))
        return [
            (value * self.scale - mean) / std
            for value in (0, 255)
            for mean, std in zip(means, stds, strict=True)
        ]

    @classmethod
    def for_images(
        cls, layout: Layout, value_range: tuple[float, float] | None = None
    ) -> Preprocessing:
        """Return the preprocessing that maps images of a layout to 0 to 1.

        Args:
            layout: Number of channels and type of the images as stored.
            value_range: Smallest and largest value that the pixels can have, such as (0, 4095) for
                12 bits; by default that of the type, and 0 to 1 for float32.

        Example:
            >>> print(vg.Preprocessing.for_images(vg.data.Layout(1, "uint16"), (0, 4095)))
            1 channel of uint16, scale 1/4095
        """
        fields: dict[str, Any] = {"channels": layout.channels, "dtype": layout.dtype}
        if value_range is not None:
            low, high = _checked_range(value_range)
            fields |= {"scale": 1 / (high - low), "mean": low / (high - low)}
        return cls(**fields)

    def __str__(self) -> str:
        text = [str(self.layout)]
        if self.order is not None:
            text.append(f"order {self.order}")
        if self.scale != 1:
            text.append(f"scale {_scale_text(self.scale)}")
        if any(_each(self.mean)):
            text.append(f"mean {_text(self.mean)}")
        if any(value != 1 for value in _each(self.std)):
            text.append(f"std {_text(self.std)}")
        return ", ".join(text)


def _checked_range(value_range: tuple[float, float]) -> tuple[float, float]:
    low, high = value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"value_range is {list(value_range)}",
            rule="the smallest and the largest value that the pixels can have",
            fix="value_range=[0, 4095]",
        )
    return low, high


def _each(value: PerChannel) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _text(value: PerChannel) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(f'{v:g}' for v in value)})"
    return f"{value:g}"


def _scale_text(scale: float) -> str:
    inverse = 1 / scale
    is_whole = inverse > 1 and math.isclose(inverse, round(inverse), rel_tol=1e-9)
    return f"1/{round(inverse)}" if is_whole else f"{scale:g}"
