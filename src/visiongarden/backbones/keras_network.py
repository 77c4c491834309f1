"""`KerasNetwork`: what the backbones that are networks of Keras have in common."""

from __future__ import annotations

import keras

from visiongarden.backbones.keras_graph import copy_by_layer
from visiongarden.backends.weightless import is_weightless
from visiongarden.errors import UserError
from visiongarden.parts import IMAGE, Backbone
from visiongarden.types import FeatureMaps, FeatureSpec, ImageSize, Tensor


class KerasNetwork(Backbone):  # noqa: VG101  a base class
    """Base class of backbones that are a functional network of Keras, with or without weights.

    Subclasses build the network in `network_for`, and return the model whose weights a new model
    gets in `source`.
    """

    def network_for(self, shape: tuple[int | None, ...]) -> keras.Model:
        """Build the network for images of a shape, with new weights.

        Args:
            shape: (height, width, channels); None where a side is unknown.

        Returns:
            A functional model whose outputs are the feature maps by level.
        """
        raise NotImplementedError

    def source(self) -> keras.Model | None:
        """Return a model with layers of the same names, whose weights are copied; None: none."""
        raise NotImplementedError

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the network, up to the coarsest requested level."""
        maps: FeatureMaps = self.network_for(tuple(images.shape[1:]))(images)
        return maps

    def as_model(
        self,
        inputs: FeatureSpec = IMAGE,
        image_size: ImageSize | int | None = None,
        name: str | None = None,
    ) -> keras.Model:
        """Return a plain `keras.Model` of this part, with the weights of its source.

        Raises:
            UserError: The weights cannot be read, or do not suit the network or the images.
        """
        model = super().as_model(inputs, image_size, name)
        source = None if is_weightless() else self.source()
        if source is None:
            return model
        (network,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
        try:
            copy_by_layer(source, network)
        except ValueError as error:
            raise UserError(
                "the weights of the network do not suit the images",
                rule=f"images of {source.input.shape[-1]} channels",
                received=" ".join(str(error).split())[:200],
            ) from error
        return model
