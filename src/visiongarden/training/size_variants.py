"""`SizeVariants`: one set of weights, used at several image sizes.

A part's `wire` may compute numbers from the image size, and losses need all shapes. A model is
therefore built at each size, rather than called on images of other sizes or built with open shapes.
Open shapes would save traces on TensorFlow alone, where a step is 5 % slower with them; JAX
supports only fixed shapes. The price is one trace per size on TensorFlow and JAX, hence at most
five sizes; a step takes the same time as the plain model's (0.995, measured on TensorFlow).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from visiongarden.backends.precision import without_autocast
from visiongarden.backends.tracing import traced_once
from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.models import Joined
from visiongarden.types import ImageSize, RawPredictions, Tensor


class SizeVariants:
    """Model that is trained at several image sizes on one set of weights.

    The method is that of Redmon & Farhadi 2017, YOLOv2, section 2. For each size other than the
    model's own the same parts are built once more, without memory for their weights. Such a variant
    runs on the current values of the model's variables, and the values that it updates (moving
    statistics, seeds) are assigned to the model's variables.

    Args:
        model: Model that owns the weights.
        sizes: Image sizes, (height, width) in pixels.

    Attributes:
        variants: Variant of each size other than the model's own.

    Raises:
        UserError: A part cannot be built at one of the sizes, or has different weights there; or
            the head takes targets.
    """

    def __init__(self, model: Joined, sizes: Iterable[ImageSize]) -> None:
        head = model.parts.head
        if head.target_inputs:
            raise UserError(
                f"the head {type(head).__name__} takes targets and cannot be trained at several "
                "sizes",
                rule="images of one size",
                fix="training.multi_scale=0",
            )
        self.model = model
        self.variants = {
            size: build_at_size(model, size) for size in sizes if size != model.image_size
        }

    def __call__(self, images: Tensor, size: ImageSize) -> RawPredictions:
        """Return raw predictions in training for images as stored, of one of `variants`."""
        variant, variables = self.variants[size], self.model.variables
        # Under mixed precision Keras would read the values in float16 or bfloat16, and the moving
        # statistics would be written back rounded.
        with without_autocast():
            scope = keras.StatelessScope(
                [(mirror, v.value) for mirror, v in zip(variant.variables, variables, strict=True)],
                collect_losses=True,
            )
        before = [scope.get_current_value(mirror) for mirror in variant.variables]
        with scope:
            raw: RawPredictions = variant(images, training=True)
        for variable, mirror, value in zip(variables, variant.variables, before, strict=True):
            updated = scope.get_current_value(mirror)
            if updated is not value:
                variable.assign(updated)
        for loss in scope.losses:
            # `Functional.add_loss` takes losses of symbolic tensors; the base class's takes values.
            keras.layers.Layer.add_loss(self.model, loss)
        return raw

    def make_step(self) -> Callable[[Any], Any]:
        """Make the function that Keras calls for each step on TensorFlow.

        One function is traced per size. Keras's single function would relax the differing shapes to
        unknown ones after the second size.

        Raises:
            UserError: Several TensorFlow devices are in use.
        """
        model: Any = self.model
        replicas = model.distribute_strategy.num_replicas_in_sync
        if replicas > 1:
            raise UserError(
                "multi-scale training cannot run on several TensorFlow devices",
                rule="one device per process, or another backend",
                received=f"{replicas} devices",
                fix="training.multi_scale=0",
            )
        steps: dict[tuple[int, ...], Any] = {}

        def step(iterator: Any) -> Any:
            data = next(iterator)
            size = tuple(data[0].shape[1:3])
            if size not in steps:
                # A separate function per size: TensorFlow warns about a function that it traces
                # many times.
                steps[size] = traced_once(lambda data: model.train_step(data), model.jit_compile)
            return steps[size](data)

        return step


def check_sizes(model: Joined, loader: Any) -> None:
    """Check that a model can be trained at the image sizes of a loader.

    Only the smallest size is built here; `fit` builds the others.

    Raises:
        UserError: A part cannot be built at that size, or has different weights there.
    """
    if len(loader.sizes) > 1:
        build_at_size(model, loader.sizes[0])


def build_at_size(model: Joined, size: ImageSize) -> Joined:
    """Build the model's parts at another image size, without values for the variables.

    Raises:
        UserError: A part cannot be built at that size, or has different weights there.
    """
    message = f"the model cannot be trained with images of {size[0]} × {size[1]}"
    fix = "training.multi_scale=0, which trains at one size"
    try:
        with weightless():
            variant: Joined = type(model).from_config(model.get_config() | {"image_size": size})
    except Exception as error:  # a custom `wire` may raise any type
        received = " ".join(str(error).split())[:300]
        raise UserError(
            message, rule="parts that can be built at every image size", received=received, fix=fix
        ) from error
    own, other = ([(v.path, tuple(v.shape)) for v in m.variables] for m in (model, variant))
    differing = [pair for pair in zip(own, other, strict=False) if pair[0] != pair[1]]
    if differing or len(own) != len(other):
        (path, shape), (name, other_shape) = (differing or [(own[-1], other[-1])])[0]
        raise UserError(
            message,
            rule=f"the same weights at every size; at the model's own, {path} has shape {shape}",
            received=f"{name} has shape {other_shape}"
            if differing
            else f"{len(other)} weights instead of {len(own)}",
            fix=fix,
        )
    return variant
