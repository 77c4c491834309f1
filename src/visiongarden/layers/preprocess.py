"""`Preprocess`: the first layer of a model, from pixel values as stored to the backbone's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class Preprocess(keras.layers.Layer):
    """Reorder, scale and normalize the channels of images, in float32 whatever the dtype policy.

    In half precision 16-bit values would be rounded or become infinite before they are scaled.

    Args:
        preprocessing: What the layer does, or its `to_dict()`.
        **kwargs: `name`, `dtype` and `trainable`. The layer has no weights.

    Example:
        >>> layer = vg.layers.Preprocess(vg.Preprocessing(channels=1, dtype="uint16"))
        >>> float(layer(np.full((1, 8, 8, 1), 65535, np.uint16))[0, 0, 0, 0])
        1.0
    """

    def __init__(self, preprocessing: Preprocessing | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32"} | kwargs))
        # Half types cannot represent pixel values of 16 bits, and Keras would cast float images.
        self.autocast = False
        if not isinstance(preprocessing, Preprocessing):
            preprocessing = Preprocessing.from_dict(preprocessing)
        self.preprocessing = preprocessing

    def build(self, input_shape: Any) -> None:
        """Nothing is built: the layer has no weights."""

    def call(self, images: Tensor) -> Tensor:
        """Return float32 (batch, height, width, channels of the backbone).

        Args:
            images: (batch, height, width, channels), pixel values as stored.
        """
        fields = self.preprocessing
        x = ops.cast(images, "float32")  # noqa: VG207  the next layer casts its input
        if fields.order is not None and fields.order != tuple(range(fields.channels)):
            x = ops.take(x, fields.order, axis=-1)
        # Each step is left out where it changes nothing, so that it costs no pass over the images.
        if fields.scale != 1:
            x = x * ops.cast(fields.scale, "float32")  # noqa: VG207
        if fields.mean != 0:
            x = x - ops.convert_to_tensor(fields.mean, "float32")
        if fields.std != 1:
            x = x / ops.convert_to_tensor(fields.std, "float32")
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the images with the number of channels that the backbone takes."""
        return (*input_shape[:-1], self.preprocessing.output_channels)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "preprocessing": self.preprocessing.to_dict()}
