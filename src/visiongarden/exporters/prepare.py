"""Preparation of a model for export: float32, built for the exported image size."""

from __future__ import annotations

from typing import Any

from visiongarden.errors import UserError
from visiongarden.models.precision import half_precision_layers, rebuilt
from visiongarden.types import ImageSize


def prepared(model: Any, image_size: ImageSize | int | None) -> tuple[Any, ImageSize]:
    """Return the model in float32 for the exported image size, and the size.

    The model itself is returned if it already is in this form. ONNX Runtime has no bfloat16
    convolution, and a mixed-precision model stores its weights in float32 anyway. A part may use
    the image size as a constant, so for another size the model is built again.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`.
        image_size: (height, width), or the side of a square; None uses that of the model.

    Raises:
        UserError: No image size is known, the parts cannot be built for it or have other weights
            then, or a layer always computes in bfloat16.
    """
    size = _size(model, image_size)
    changes: dict[str, Any] = {}
    if half_precision_layers(model):
        changes["dtype"] = "float32"
    if model.image_size is not None and size != tuple(model.image_size):
        changes["image_size"] = size
    if changes:
        model = rebuilt(
            model, changes, f"for images of {size[0]} × {size[1]}",
            rule="parts that accept this image size, with the same weights", fix=_own_size(model),
        )  # fmt: skip
    for layer in half_precision_layers(model):
        if layer.compute_dtype == "bfloat16":
            raise UserError(
                f"layer {layer.path} computes in bfloat16 regardless of the model's dtype policy",
                rule="float32, because ONNX Runtime has no bfloat16 convolution",
                fix="set no dtype in the layer; training.precision=mixed_bfloat16 sets the policy",
            )
    return model, size


def _size(model: Any, image_size: ImageSize | int | None) -> ImageSize:
    size = image_size or model.image_size
    if size is None:
        raise UserError(
            "no image size is specified for the export, and the model accepts images of any size",
            fix="image_size=(640, 640), or --image-size 640 on the command line",
        )
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _own_size(model: Any) -> str:
    return f"export at the model's own size: image_size={model.image_size}, or omit --image-size"
