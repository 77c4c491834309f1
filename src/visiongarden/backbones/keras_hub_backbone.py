"""`KerasHubBackbone`: an image backbone of keras-hub, by the name of its preset."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visiongarden.backbones.keras_model import KerasModel
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import UserError
from visiongarden.registry import register

_LIBRARY, _PIP = "keras_hub", "pip install keras-hub"


@register
class KerasHubBackbone(KerasModel):
    """An image backbone of keras-hub with the weights of its preset, as a `KerasModel`.

    The preset is loaded when the backbone is created in Python or from a recipe, and keras-hub may
    download it. A model file contains the network and its weights, and opens without keras-hub if
    all layers of the network are Keras's, as those of ResNet, MobileNet and DenseNet are.

    Args:
        preset: Name of a preset, such as "resnet_50_imagenet", or a folder of one.
        levels: As in `KerasModel`.
        load_weights: Whether a new model has the weights of the preset.
        **fields: The fields of `KerasModel` and those below, as a file contains them.

    Attributes:
        preset: Name of the preset; "" if it is not known.
        values: Preprocessing of 8-bit RGB that the preset states; None if it states none.

    Raises:
        UserError: keras-hub is not installed, or the preset cannot be loaded.

    Example:
        >>> vg.backbones.KerasHubBackbone("resnet_50_imagenet").spec()  # doctest: +SKIP
        FeatureSpec(p3: 512 ch /8, p4: 1024 ch /16, p5: 2048 ch /32)
    """

    preset: str = ""
    values: Preprocessing | None = None

    def __init__(
        self,
        preset: str = "",
        levels: Mapping[str, str] | Sequence[str] | None = None,
        load_weights: bool = True,
        **fields: Any,
    ) -> None:
        if not preset or "network" in fields:
            given = fields if levels is None else fields | {"levels": levels}
            super().__init__(None, **given, preset=preset)
            return
        library = _library()
        try:
            network = library.models.Backbone.from_preset(preset, load_weights=load_weights)
            converter = _converter(library, preset)
        except Exception as error:  # keras-hub, kagglehub and h5py raise errors of many types
            raise UserError(
                f"the preset {preset!r} of keras-hub cannot be loaded",
                rule="a preset of an image backbone, or a folder that save_to_preset() wrote",
                received=" ".join(str(error).split())[:200],
                fix='KerasHubBackbone("resnet_50_imagenet")',
            ) from error
        super().__init__(
            network, levels, **fields | {"preset": preset, "values": preprocessing_of(converter)}
        )
        if not load_weights:
            self._source = None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Preprocessing of 8-bit RGB that the preset states; None if it states none."""
        return self.values


def preprocessing_of(converter: Any) -> Preprocessing | None:
    """Return what an image converter of keras-hub does, x · scale + offset, as a `Preprocessing`.

    Args:
        converter: Object with `scale` and `offset`, numbers or one per channel; or None.
    """
    if converter is None or converter.scale is None:
        return None
    scale = np.asarray(converter.scale, np.float64)
    offset = np.asarray(0.0 if converter.offset is None else converter.offset, np.float64)
    std = 1 / (255 * scale)
    mean = -offset * std
    if np.allclose(offset, 0) and np.allclose(scale, scale.flat[0]):
        return Preprocessing(scale=float(scale.flat[0]))
    channels = np.broadcast_shapes(mean.shape, std.shape, (3,))
    means, stds = (np.broadcast_to(each, channels).round(6).tolist() for each in (mean, std))
    return Preprocessing(mean=tuple(means), std=tuple(stds))


def _library() -> Any:
    try:
        return importlib.import_module(_LIBRARY)
    except ImportError as error:
        raise UserError(
            "keras-hub is not installed, which loads the presets of KerasHubBackbone",
            rule="an optional package",
            received=str(error),
            fix=_PIP,
        ) from error


def _converter(library: Any, preset: str) -> Any:
    """Return the image converter of a preset, or None without one."""
    try:
        return library.layers.ImageConverter.from_preset(preset)
    except (ValueError, FileNotFoundError):  # keras-hub's errors of a preset without one
        return None
