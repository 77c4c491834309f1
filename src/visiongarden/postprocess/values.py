"""Decoding of standardized values of an image."""

from __future__ import annotations

from typing import ClassVar

from keras import ops

from visiongarden.postprocess.decoding import Decoding
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Tensor


@register
class ValueDecoding(Decoding):
    """Values in their units: prediction * scale + mean, with the scales and means of the head.

    Example:
        >>> head = vg.heads.Regression(
        ...     names=("angle",), units=("rad",), means=(0.5,), scales=(2.0,)
        ... )
        >>> context = vg.types.HeadContext(head, (64, 64), None)
        >>> raw = {"p5": {"values": np.ones((1, 1), "float32")}}
        >>> found = vg.postprocess.ValueDecoding()(raw, context)["values"]
        >>> keras.ops.convert_to_numpy(found).tolist()
        [[2.5]]
    """

    outputs: ClassVar[tuple[str, ...]] = ("values",)
    head_fields: ClassVar[tuple[str, ...]] = ("means", "scales")
    needs_nms: bool = False

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return "values" (batch, k).

        Args:
            raw: {level: {"values": (batch, k)}} with exactly one level.
            context: the head, the image size and the levels.
        """
        (level,) = raw.values()
        scales, means = (
            ops.convert_to_tensor([numbers], "float32")
            for numbers in (context.head.scales, context.head.means)
        )
        return {"values": ops.cast(level["values"], "float32") * scales + means}
