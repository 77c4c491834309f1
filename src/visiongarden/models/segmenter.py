"""`Segmenter`: a model that assigns a class to each pixel, built from three parts."""

from __future__ import annotations

from visiongarden.models.joined import Joined
from visiongarden.registry import register


@register
class Segmenter(Joined):
    """Semantic segmentation model with a backbone, a decoder and a segmentation head.

    The model is a plain `keras.Model` in every other respect. It takes images of shape
    (batch, height, width, channels) with pixel values as stored (RGB from 0 to 255 by default),
    which its first layer preprocesses, and returns raw predictions: a dict from level to
    `{"classes": logits}` with logits of shape (batch, height, width, classes) at the size of the
    image. Saving, loading, training and export work as for `Detector`.

    Args:
        backbone: Part that turns an image into feature maps.
        decoder: Part that merges the feature maps into the finest of them.
        head: Segmentation head, which turns feature maps into raw predictions.
        image_size: (height, width) in pixels, or one number for both; None leaves the size open.
        class_map: Class map, or a sequence of class names, including the background class; it is
            saved with the model.
        dtype: Keras dtype policy of every layer; None uses the global policy.
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
        >>> model = vg.Segmenter(
        ...     backbone=vg.backbones.CSPDarknet(levels=("p2", "p3", "p4", "p5")),
        ...     decoder=vg.decoders.SemanticFPN(channels=64),
        ...     head=vg.heads.Segmentation(num_classes=6),
        ...     image_size=64,
        ... )
        >>> model.output["p2"]["classes"].shape
        (None, 64, 64, 6)
    """

    segment = Joined.infer
