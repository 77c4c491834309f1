"""`Decoding`: base class of what turns the raw predictions of a head into named arrays."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.config import Concise
from visiongarden.types import HeadContext, RawPredictions, Tensor


class Decoding(Concise):
    """Base class of decodings: raw predictions to named arrays, in the graph; a field of a head.

    An exported file contains the decoding. What it needs to know about its head, such as anchors,
    it reads from `context.head`.

    Attributes:
        outputs: names of the arrays, which are those of an exported file. The task of the head
            determines which it needs: "boxes" and "scores" for detection, "scores" for
            classification and segmentation.
        head_fields: fields that a head must have for this decoding.
        needs_nms: whether boxes of one object overlap, so that they must be suppressed.

    Example:
        >>> @vg.register(package="garden")
        ... class Sigmoid(vg.postprocess.Decoding):
        ...     outputs = ("scores",)
        ...
        ...     def __call__(self, raw, context):
        ...         (level,) = raw.values()
        ...         return {"scores": keras.ops.sigmoid(level["classes"])}
        >>> head = vg.heads.Classification(num_classes=3, decoding=Sigmoid())
        >>> raw = {"p5": {"classes": np.zeros((1, 3), "float32")}}
        >>> scores = head.decoding(raw, context=None)["scores"]
        >>> keras.ops.convert_to_numpy(scores).tolist()
        [[0.5, 0.5, 0.5]]
    """

    outputs: ClassVar[tuple[str, ...]]
    head_fields: ClassVar[tuple[str, ...]] = ()
    needs_nms: bool = True

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return the arrays by name, batch first, float32.

        Args:
            raw: raw predictions of the head.
            context: the head, the image size and the levels.

        Returns:
            For detection "boxes" (batch, n, 4), xyxy in pixels of the network's input, and "scores"
            (batch, n, classes), 0 to 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `__call__`")
