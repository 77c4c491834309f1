"""`DarknetModel`: a network that a cfg describes, as a plain Keras graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import keras

from visiongarden.errors import ModelFileError
from visiongarden.layers.keras_internals import dtype_policy
from visiongarden.models.files import SavedAsParts
from visiongarden.registry import register
from visiongarden.types import ClassMap, ImageSize
from visiongarden.weights.darknet.cfg import Cfg, parse_cfg
from visiongarden.weights.darknet.draw import draw, name_of, vector
from visiongarden.weights.darknet.geometry import HEADS, Step, geometry, image_shape, values_of
from visiongarden.weights.darknet.weights import Header


@register
class DarknetModel(SavedAsParts, keras.Model):
    """Image -> what Darknet's prediction layers give, drawn layer by layer from a cfg.

    Takes (batch, height, width, channels) images, float RGB from 0 to 1. A detector returns a dict,
    name of the [yolo] or [region] layer -> (batch, rows, columns, anchors * n), as Darknet's own
    layer has it, channels last; another network returns the vector (batch, n) or the map of its
    last layer. Weights have paths such as `layer036_conv/kernel`.

    Args:
        cfg: a parsed cfg, or its path or text.
        image_size: (height, width) instead of the cfg's own.
        class_map: names of the classes; written into the file.
        dtype: Keras dtype policy of every layer; None takes the one in force.
        **kwargs: `name` of the model.

    Raises:
        ModelFileError: the cfg is not sound, or asks for what is not supported.
    """

    def __init__(
        self,
        cfg: Cfg | str | Path,
        image_size: ImageSize | None = None,
        class_map: ClassMap | Sequence[str] | None = None,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        cfg = cfg if isinstance(cfg, Cfg) else parse_cfg(cfg)
        size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        steps = geometry(cfg, size)
        values_of(steps)
        heads = tuple(step for step in steps if step.kind in HEADS)
        classes = _class_map(class_map, heads)
        with dtype_policy(dtype):
            image = keras.Input(image_shape(cfg, size), name="images")
            drawing = draw(steps, image)
            super().__init__(image, _outputs(steps, heads, drawing.outputs), **kwargs)
        self.cfg, self.steps, self.heads = cfg, steps, heads
        self.image_size: ImageSize = image_shape(cfg, size)[:2]
        self.class_map = classes
        self.layer_outputs = tuple(drawing.outputs)
        self.slots = tuple(drawing.slots)
        self.header = Header()
        self._given_size = size

    @property
    def every_layer(self) -> keras.Model:
        """The same network, giving the output of each layer of the cfg, to compare or to reuse."""
        return keras.Model(self.inputs, list(self.layer_outputs), name="every_layer")

    def get_config(self) -> dict[str, Any]:
        """The cfg itself, the image size and the classes; no layer is written."""
        classes = self.class_map
        return {
            "name": self.name,
            "cfg": self.cfg.text,
            "file": self.cfg.file,
            "image_size": self._given_size,
            "class_map": classes and {"names": list(classes.names), "ids": list(classes.ids)},
            "dtype": self.dtype_policy.name,
            "header": [*self.header.version, self.header.seen],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The model that `get_config` described, with new weights."""
        classes, header = config.get("class_map"), config.get("header", (0, 2, 5, 0))
        text = config.get("cfg")
        if not isinstance(text, str):
            raise ModelFileError("the model's config holds no cfg")
        model = cls(
            parse_cfg("\n" * ("\n" not in text) + text, file=str(config.get("file"))),
            image_size=config.get("image_size"),
            class_map=classes and ClassMap(tuple(classes["names"]), tuple(classes["ids"])),
            dtype=config.get("dtype"),
            name=config.get("name"),
        )
        major, minor, revision, seen = (int(n) for n in header)
        model.header = Header((major, minor, revision), seen)
        return model


def _outputs(steps: Sequence[Step], heads: Sequence[Step], tensors: Sequence[Any]) -> Any:
    if heads:
        return {name_of(step): tensors[step.index] for step in heads}
    last, x = steps[-1], tensors[-1]
    return vector(x, "result") if last.shape[:2] == (1, 1) else x


def _class_map(
    classes: ClassMap | Sequence[str] | None, heads: Sequence[Step]
) -> ClassMap | None:
    counts = {step.settings["classes"] for step in heads}
    if len(counts) > 1:
        raise heads[-1].section.fault("classes", "the prediction layers differ in their classes")
    if classes is None:
        return None
    found = classes if isinstance(classes, ClassMap) else ClassMap(tuple(classes))
    if counts and counts != {len(found)}:
        raise ModelFileError(
            f"{heads[0].section.file} has other classes than those named",
            rule=f"classes={counts.pop()}",
            received=f"{len(found)} names",
        )
    return found
