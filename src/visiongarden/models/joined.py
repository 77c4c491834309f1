"""`Joined`: three parts as one model; what `Detector`, `Classifier` and `Segmenter` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import keras

from visiongarden.backends.keras_internals import dtype_policy, is_weightless
from visiongarden.errors import ContractError, UserError
from visiongarden.layers.folding import folding
from visiongarden.models.files import SavedAsParts, read_part, written
from visiongarden.models.fuse import fused
from visiongarden.models.subclass import (
    ARGUMENTS,
    construct_subclass,
    own_arguments,
    remember_arguments,
)
from visiongarden.parts import Backbone, Decoder, Head, Part, connect
from visiongarden.parts.part import IMAGE
from visiongarden.types import ClassMap, FeatureSpec, ImageSize

MAX_SIDE, MAX_PIXELS = 32_768, 64_000_000
"""Largest image that a model takes; a file that asks for more would exhaust the memory of
`predict` with its first image."""


@dataclass(frozen=True)
class Parts:
    """The three values that a model is made of."""

    backbone: Backbone
    decoder: Decoder
    head: Head


class Joined(SavedAsParts, keras.Model):
    """Base: joins three parts into one plain `keras.Model`; subclasses name their task.

    `parts` holds the three values; `backbone`, `decoder` and `head` are the sub-models.
    """

    task: ClassVar[str] = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Remembers the arguments of a subclass that has a constructor of its own."""
        model = super().__new__(cls, *args, **kwargs)
        remember_arguments(model, args, kwargs)
        return model

    def __init__(
        self,
        backbone: Backbone,
        decoder: Decoder,
        head: Head,
        image_size: ImageSize | int | None = None,
        class_map: ClassMap | Sequence[str] | None = None,
        dtype: str | None = None,
        fused: bool = False,
        name: str | None = None,
    ) -> None:
        size = _as_size(image_size)
        classes = _as_class_map(class_map)
        self._check_task(backbone, decoder, head)
        drawn: dict[str, keras.Model] = {}

        def draw(part: Part, inputs: FeatureSpec) -> keras.Model:
            if part.role not in drawn:
                drawn[part.role] = part.as_model(inputs, size)
            return drawn[part.role]

        # In a file the parts fit as a rule, and a model without weights costs nothing more than a
        # trace of its shapes; elsewhere no weight is made before all is checked.
        first = draw if size and is_weightless() else None
        with dtype_policy(dtype), folding(fused):
            connection = connect(backbone, decoder, head, size, classes, first)
            images = keras.Input((*(size or (None, None)), 3), name="images")
            backbone_model = draw(backbone, IMAGE)
            decoder_model = draw(decoder, connection.features)
            head_model = draw(head, connection.decoded)
            features = backbone_model(images)
            features = decoder_model({level: features[level] for level in connection.features})
            raw = head_model({level: features[level] for level in connection.decoded})
            # Keras would drop any other keyword argument silently.
            super().__init__(images, raw, name=name)
        self.parts = Parts(backbone, decoder, head)
        self.image_size, self.class_map, self.is_fused = size, classes, fused
        self.backbone, self.decoder, self.head = backbone_model, decoder_model, head_model

    def get_config(self) -> dict[str, Any]:
        """The parts, the image size and the classes; no layer is written."""
        return {
            "name": self.name,
            "backbone": written(self.parts.backbone),
            "decoder": written(self.parts.decoder),
            "head": written(self.parts.head),
            "image_size": None if self.image_size is None else list(self.image_size),
            "class_map": None
            if self.class_map is None
            else {"names": list(self.class_map.names), "ids": list(self.class_map.ids)},
            "dtype": self.dtype_policy.name,
            "fused": self.is_fused,
            **self.trainable_config(),
            **own_arguments(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The model that `get_config` described, with new weights."""
        classes = config.get("class_map")
        if ARGUMENTS in config:
            with dtype_policy(config.get("dtype")), folding(bool(config.get("fused"))):
                own: Self = construct_subclass(cls, config)
            own.class_map = classes and ClassMap(tuple(classes["names"]), tuple(classes["ids"]))
            own.is_fused = bool(config.get("fused"))
            return own.freeze_as(config)
        model = cls(
            backbone=read_part(config.get("backbone"), Backbone),
            decoder=read_part(config.get("decoder"), Decoder),
            head=read_part(config.get("head"), Head),
            image_size=config.get("image_size"),
            class_map=None if classes is None else _class_map(classes),
            dtype=config.get("dtype"),
            fused=bool(config.get("fused")),
            name=config.get("name"),
        )
        return model.freeze_as(config)

    def resized(self, image_size: ImageSize) -> Self:
        """A new model of the same parts at another image size."""
        if own_arguments(self):
            return self.from_config(self.get_config() | {"image_size": list(image_size)})
        parts = self.parts
        twin = type(self)(
            backbone=parts.backbone,
            decoder=parts.decoder,
            head=parts.head,
            image_size=image_size,
            class_map=self.class_map,
            fused=self.is_fused,
        )
        # A frozen layer may compute otherwise in training, as batch normalization does.
        return twin.freeze_as(self.trainable_config())

    def fused(self) -> Self:
        """A new model that computes the same with fewer operations, to rounding; for use alone.

        Batch normalisation folds into the convolution before it, parallel branches into one
        convolution, and what a head has for training alone is left out.

        Raises:
            UserError: the model is fused already.
        """
        twin: Self = fused(self)
        return twin

    @classmethod
    def _check_task(cls, backbone: Backbone, decoder: Decoder, head: Head) -> None:
        if getattr(head, "task", None) is None:
            raise UserError(
                f"model {cls.__name__} was given {head} as its head",
                rule="a head, which has a task",
                fix=f"name the arguments: {cls.__name__}(backbone=…, decoder=…, head=…)",
            )
        if head.task == cls.task:
            return
        fitting = [kind.__name__ for kind in Joined.__subclasses__() if kind.task == head.task]
        raise ContractError(
            f"model {cls.__name__} cannot end in head {head}",
            wants=("a head for", cls.task),
            offered=f"one for {head.task}",
            fix=f"{(fitting or ['another model'])[0]}(backbone={backbone}, decoder={decoder}, "
            f"head={head})",
        )


def _as_size(size: Any) -> ImageSize | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    # Whole numbers from anywhere: NumPy's too, but neither infinity nor text.
    whole = len(sides) == 2 and all(
        hasattr(side, "__index__") and not isinstance(side, bool) and 0 < side <= MAX_SIDE
        for side in sides
    )
    if not whole or sides[0] * sides[1] > MAX_PIXELS:
        raise UserError(
            "image_size is not valid",
            rule=f"(height, width), whole numbers from 1 to {MAX_SIDE}, "
            f"together at most {MAX_PIXELS:,} pixels",
            received=f"{size!r:.80}",
            fix="image_size=(640, 640)",
        )
    return int(sides[0]), int(sides[1])


def _class_map(config: Any) -> ClassMap:
    names, ids = (config.get(key) if isinstance(config, dict) else None for key in ("names", "ids"))
    if not isinstance(names, list) or not isinstance(ids, list) or len(names) != len(ids):
        raise UserError(
            "the class map is not valid", rule="names and ids, one of each for each class",
            received=f"{config!r:.200}",
        )  # fmt: skip
    return ClassMap(tuple(names), tuple(ids))


def _as_class_map(classes: ClassMap | Sequence[str] | None) -> ClassMap | None:
    if classes is None or isinstance(classes, ClassMap):
        return classes
    return ClassMap(tuple(classes))
