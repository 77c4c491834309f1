"""`Detector`: a model that predicts boxes and their classes, built from three parts."""

from __future__ import annotations

from visiongarden.models.joined import Joined
from visiongarden.registry import register


@register
class Detector(Joined):
    """Object detection model with a backbone, a decoder and a detection head.

    The model is a plain `keras.Model` in every other respect. It takes images of shape
    (batch, height, width, channels) with pixel values as stored (RGB from 0 to 255 by default),
    which its first layer preprocesses, and returns raw predictions: a dict from each level to a
    dict from name to tensor. `parts.head.loss` computes the training loss of raw
    predictions, and `parts.head.decoding` turns them into boxes and scores. `parts` holds the three
    parts as values; `backbone`, `decoder` and `head` are the sub-models built from them.

    Args:
        backbone: Part that turns an image into feature maps.
        decoder: Part that turns feature maps into feature maps.
        head: Detection head, which turns feature maps into raw predictions.
        image_size: (height, width) in pixels, or one number for both; None leaves the size open.
        class_map: Class map, or a sequence of class names; it is saved with the model.
        dtype: Keras dtype policy of every layer, such as "mixed_bfloat16"; None uses the global
            policy.
        fused: Whether to build the layers in their folded form, as `fused()` does, with new
            weights.
        name: Name of the model.
        preprocessing: What the first layer does to the images, as a `Preprocessing` or its fields;
            by default what the weights of the backbone need, else 8-bit RGB scaled to 0 to 1.
        resize: How images of any size are brought to the size of the model's input, as a
            `vg.transforms.Resizing`, its name or its fields; by default what suits the task: a
            letterbox, for classes of whole images the center crop.

    Raises:
        ContractError: If the parts or the class map do not fit together. The message contains a
            fix.
        UserError: If the image size is not compatible with the largest stride.

    Example:
        >>> model = vg.Detector(
        ...     backbone=vg.backbones.CSPDarknet(depth=0.33, width=0.25),
        ...     decoder=vg.decoders.PathAggregation(depth=0.33),
        ...     head=vg.heads.AnchorFree(num_classes=3),
        ...     image_size=64,
        ... )
        >>> model.output["p3"]["classes"].shape
        (None, 8, 8, 3)
    """

    detect = Joined.infer
