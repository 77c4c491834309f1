"""`Twins`: one set of weights, used at several image sizes.

A part's `wire` may compute numbers from the image size, and losses need all shapes. A model is
therefore built at each size, rather than called on images of other sizes or built with open shapes.
Open shapes would save traces on TensorFlow alone, where a step is 5 % slower with them; JAX has
none. The price is one trace per size on TensorFlow and JAX, hence at most five sizes; a step takes
the same time as the plain model's (0.995, measured on TensorFlow).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from visiongarden.backends.keras_internals import weightless, without_autocast
from visiongarden.errors import UserError
from visiongarden.models import Joined
from visiongarden.types import ImageSize


class Twins:
    """Model that runs at several image sizes on one set of weights.

    For each size other than the model's own the same parts are built once more, without memory for
    their weights. Such a twin runs on the current values of the model's variables, and the values
    that it updates (moving statistics, seeds) are assigned to the model's variables.

    Args:
        model: Model that owns the weights.
        sizes: Image sizes, (height, width) in pixels.

    Raises:
        UserError: A part cannot be built at one of the sizes, or has different weights there.
    """

    def __init__(self, model: Joined, sizes: Iterable[ImageSize]) -> None:
        self.model = model
        self._drawn = {size: drawn_at(model, size) for size in sizes if size != model.image_size}

    def __call__(self, images: Any, size: ImageSize, training: bool | None = None) -> Any:
        """Return raw predictions for float images (batch, height, width, 3) of one of the sizes."""
        if size not in self._drawn:
            return self.model(images, training=training)
        twin, own = self._drawn[size], self.model.variables
        # Under mixed precision Keras would read the values in float16 or bfloat16, and the moving
        # statistics would be written back rounded.
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
            # `Functional.add_loss` takes losses of symbolic tensors; the base class's takes values.
            keras.layers.Layer.add_loss(self.model, loss)
        return raw


def check_sizes(model: Joined, loader: Any) -> None:
    """Check that a model can be trained at the image sizes of a loader.

    Only the smallest size is built here; `fit` builds the others.

    Raises:
        UserError: A part cannot be built at that size, or has different weights there.
    """
    if len(loader.sizes) > 1:
        drawn_at(model, loader.sizes[0])


def drawn_at(model: Joined, size: ImageSize) -> Joined:
    """Build the model's parts at another image size, without values for the variables.

    Raises:
        UserError: A part cannot be built at that size, or has different weights there.
    """
    said = f"the model cannot be trained with images of {size[0]} × {size[1]}"
    fix = "augmentation.multi_scale=0 trains at one size"
    try:
        with weightless():
            twin: Joined = type(model).from_config(model.get_config() | {"image_size": size})
    except Exception as error:  # a custom `wire` may raise any type
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
