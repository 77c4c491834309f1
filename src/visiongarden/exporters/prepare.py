"""Preparation of a model for export: float32, built for the exported image size."""

from __future__ import annotations

from typing import Any

from visiongarden.backends.sublayers import with_sublayers
from visiongarden.errors import UserError
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
    if _half_precision(model):
        changes["dtype"] = "float32"
    if model.image_size is not None and size != tuple(model.image_size):
        changes["image_size"] = size
    if changes:
        model = _rebuilt(model, changes, size)
    for layer in _half_precision(model):
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


def _half_precision(model: Any) -> list[Any]:
    """Return the layers that compute in bfloat16 or float16."""
    layers = with_sublayers(model)
    return [layer for layer in layers if layer.compute_dtype in ("bfloat16", "float16")]


def _rebuilt(model: Any, changes: dict[str, Any], size: ImageSize) -> Any:
    try:
        rebuilt = type(model).from_config(model.get_config() | changes)
    except UserError:
        raise
    except Exception as error:  # a user's `wire` may raise anything
        raise UserError(
            f"the model cannot be built for images of {size[0]} × {size[1]}",
            rule="parts that accept this image size",
            received=" ".join(str(error).split())[:300],
            fix=_own_size(model),
        ) from error
    # Values are copied in the order of the weights, so paths and shapes must be equal.
    weights, others = ([(w.path, tuple(w.shape)) for w in m.weights] for m in (model, rebuilt))
    if weights != others:
        differing = [w for w in weights if w not in others] or others[len(weights) :]
        raise UserError(
            f"the model has different weights for images of {size[0]} × {size[1]}",
            rule="the same weights at both image sizes",
            received=f"{differing[0][0]} of shape {differing[0][1]} exists at one size only",
            fix=_own_size(model),
        )
    for weight, other in zip(model.weights, rebuilt.weights, strict=True):
        other.assign(weight.value)
    return rebuilt


def _own_size(model: Any) -> str:
    return f"export at the model's own size: image_size={model.image_size}, or omit --image-size"
