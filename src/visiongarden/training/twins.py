"""`Twins`: one model at several image sizes, with one set of weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from visiongarden.backends.keras_internals import weightless, without_autocast
from visiongarden.errors import UserError
from visiongarden.models import Joined
from visiongarden.types import ImageSize


class Twins:
    """A model at sizes other than its own: the same parts drawn anew, without weights.

    A twin runs on the values that the model's variables have at that moment, and what it changes of
    them (moving averages, seeds) goes into the model. Each size is drawn, rather than the model
    called on it, because `wire` may take numbers from the size.

    Args:
        model: whose weights count.
        sizes: (height, width) in pixels.

    Raises:
        UserError: a part cannot be drawn at a size, or has other weights there.
    """

    def __init__(self, model: Joined, sizes: Iterable[ImageSize]) -> None:
        self.model = model
        self._drawn = {size: drawn_at(model, size) for size in sizes if size != model.image_size}

    def __call__(self, images: Any, size: ImageSize, training: bool | None = None) -> Any:
        """Raw predictions for float images (batch, height, width, 3) of one of the sizes."""
        if size not in self._drawn:
            return self.model(images, training=training)
        twin, own = self._drawn[size], self.model.variables
        with without_autocast():
            scope = keras.StatelessScope(
                [(there, here.value) for there, here in zip(twin.variables, own, strict=True)],
                collect_losses=True,
            )
        before = [scope.get_current_value(there) for there in twin.variables]
        with scope:
            raw = twin(images, training=training)
        for here, there, value in zip(own, twin.variables, before, strict=True):
            now = scope.get_current_value(there)
            if now is not value:
                here.assign(now)
        for loss in scope.losses:
            # A functional model keeps its own for losses of symbolic tensors.
            keras.layers.Layer.add_loss(self.model, loss)
        return raw


def check_sizes(model: Joined, loader: Any) -> None:
    """Raises where the model cannot be trained at the loader's sizes; draws the smallest alone.

    Raises:
        UserError: a part cannot be drawn at that size, or has other weights there.
    """
    if len(loader.sizes) > 1:
        drawn_at(model, loader.sizes[0])


def drawn_at(model: Joined, size: ImageSize) -> Joined:
    """The model's parts at another image size; its variables have no values.

    Raises:
        UserError: the parts cannot be drawn, or have other weights at that size.
    """
    said = f"the model cannot be trained with images of {size[0]} × {size[1]}"
    fix = "augmentation.multi_scale=0 trains at one size"
    try:
        with weightless():
            twin: Joined = type(model).from_config(model.get_config() | {"image_size": size})
    except Exception as error:  # a person's own `wire` raises whatever it likes
        received = " ".join(str(error).split())[:300]
        raise UserError(
            said, rule="parts that take every size", received=received, fix=fix
        ) from error
    own, other = ([(v.path, tuple(v.shape)) for v in m.variables] for m in (model, twin))
    differing = [pair for pair in zip(own, other, strict=False) if pair[0] != pair[1]]
    if differing or len(own) != len(other):
        (path, shape), (name, there) = (differing or [(own[-1], other[-1])])[0]
        raise UserError(
            said,
            rule=f"the same weights at every size; at the model's own, {path} is {shape}",
            received=f"{name} is {there}" if differing else f"{len(other)} weights for {len(own)}",
            fix=fix,
        )
    return twin
