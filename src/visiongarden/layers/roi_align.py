"""`RoIAlign`: features of fixed size for regions: He et al. 2017 (Mask R-CNN), section 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from visiongarden.errors import UserError
from visiongarden.ops import roi_align, roi_levels
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class RoIAlign(keras.layers.Layer):
    """Sample feature maps in regions, bilinearly and without rounding coordinates.

    Each region is divided into bins, and each bin is the average of `sampling_ratio`² samples. With
    several maps, a region is sampled in one of them, which its area determines (Lin et al. 2016,
    FPN, equation 1). Regions are float32 whatever the dtype policy, and no gradient passes through
    them.

    Input: a list of feature maps, each (batch, height, width, channels) with known height and
    width, and regions (batch, k, 4), xyxy, in pixels of the image. Output: (batch, k, output_size,
    output_size, channels).

    Args:
        strides: pixels per cell of each map, finest first; powers of 2.
        output_size: rows and columns of bins.
        sampling_ratio: samples of a bin along each axis, 1 or more.
        aligned: whether a cell's center is half a cell from its corner. If not, as in the weights
            of torchvision's detectors, features are shifted by half a cell, and regions are at
            least one cell wide and high.
        canonical_size: side in pixels of a square region on the canonical level.
        canonical_level: level of such a region; 4 is a stride of 2⁴.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        UserError: an argument is not valid, or the maps do not fit the strides.

    Example:
        >>> layer = vg.layers.RoIAlign(strides=(1,), output_size=1)
        >>> features = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
        >>> regions = np.array([[[0, 0, 4, 4], [1, 1, 2, 2]]], np.float32)
        >>> keras.ops.convert_to_numpy(layer([features], regions)).ravel().tolist()
        [7.5, 5.0]
    """

    def __init__(
        self,
        strides: Sequence[int],
        output_size: int = 7,
        sampling_ratio: int = 2,
        aligned: bool = True,
        canonical_size: float = 224.0,
        canonical_level: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.strides = tuple(int(stride) for stride in strides)
        self.output_size, self.sampling_ratio = int(output_size), int(sampling_ratio)
        self.aligned = bool(aligned)
        self.canonical_size, self.canonical_level = float(canonical_size), int(canonical_level)
        # Keras would round coordinates to the dtype of the features.
        self.autocast = False
        self._check()

    def _check(self) -> None:
        doubled = [self.strides[0] * 2**place for place in range(len(self.strides))]
        if not self.strides or self.strides[0] < 1 or list(self.strides) != doubled:
            raise UserError(
                f"the strides of RoIAlign are {self.strides}",
                rule="strides of consecutive levels, finest first, such as (4, 8, 16, 32)",
                fix="strides=(4, 8, 16, 32)",
            )
        for name in ("output_size", "sampling_ratio", "canonical_size"):
            value = vars(self)[name]
            if value <= 0:
                raise UserError(
                    f"{name} of RoIAlign is {value}",
                    rule="above 0; shapes are static, so that the samples cannot adapt to a region",
                    fix=f"{name}={2 if name == 'sampling_ratio' else 7}",
                )

    def build(self, maps_shape: Any, regions_shape: Any) -> None:
        """Check the shapes; there are no weights."""
        self.compute_output_shape(maps_shape, regions_shape)

    def call(self, maps: Sequence[Tensor], regions: Tensor) -> Tensor:
        """Return the features of the regions, (batch, k, output_size, output_size, channels)."""
        regions = ops.stop_gradient(ops.cast(regions, "float32"))
        maps = [ops.cast(x, self.compute_dtype) for x in maps]
        finest = self.strides[0].bit_length() - 1
        coarsest = finest + len(self.strides) - 1
        level = roi_levels(regions, coarsest, finest, self.canonical_size, self.canonical_level)
        size = self.output_size, self.output_size
        choice = level - finest
        return roi_align(
            maps, self.strides, regions, choice, size, self.sampling_ratio, self.aligned
        )

    def compute_output_shape(self, maps_shape: Any, regions_shape: Any) -> Any:
        """Return the output shape.

        Raises:
            UserError: the maps do not fit the strides, have an unknown height or width, or have
                different channels.
        """
        shapes = [tuple(shape) for shape in maps_shape]
        channels = {shape[-1] for shape in shapes}
        known = all(len(shape) == 4 and None not in shape[1:3] for shape in shapes)
        if len(shapes) != len(self.strides) or len(channels) != 1 or not known:
            raise UserError(
                f"{self.name!r} cannot sample {len(shapes)} feature maps",
                rule=f"a list of {len(self.strides)} maps of known height and width with equal "
                "channels, one for each stride",
                received=", ".join(map(str, shapes)),
                fix="image_size=(256, 256) in the model",
            )
        return (*tuple(regions_shape)[:2], self.output_size, self.output_size, channels.pop())

    def compute_output_spec(self, maps: Any, regions: Any) -> Any:
        """Return shape and type of the output."""
        shape = self.compute_output_shape([x.shape for x in maps], regions.shape)
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        names = ("output_size", "sampling_ratio", "aligned", "canonical_size", "canonical_level")
        own = {name: vars(self)[name] for name in names}
        return {**super().get_config(), "strides": list(self.strides), **own}
