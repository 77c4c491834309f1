"""`Joined`: the base class of `Detector`, `Classifier` and `Segmenter`, which connects parts."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, SupportsIndex

import keras

from visiongarden.backends.precision import dtype_policy
from visiongarden.backends.weightless import is_weightless
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ContractError, UserError
from visiongarden.layers.fold import folding
from visiongarden.models.files import SavedAsParts, read_part, written
from visiongarden.models.fuse import fused
from visiongarden.models.infer import infer
from visiongarden.models.notebook import as_html
from visiongarden.models.preprocessed import LAYER, image_input, read_preprocessing
from visiongarden.models.resizing import as_resize, resize_in, written_resize
from visiongarden.models.subclass import (
    ARGUMENTS,
    construct_subclass,
    own_arguments,
    record_arguments,
)
from visiongarden.models.trained import TrainedByHead
from visiongarden.parts import Backbone, Decoder, Head, Part, connect
from visiongarden.parts.target_inputs import PREFIX, target_inputs
from visiongarden.transforms import Resizing
from visiongarden.types import ClassMap, FeatureSpec, HeadContext, ImageSize

MAX_SIDE, MAX_PIXELS = 32_768, 64_000_000
"""Maximum side and area of a model's images, in pixels.

A model file with a larger image size would exhaust the memory with the first image of `predict`.
"""


@dataclass(frozen=True)
class Parts:
    """The three parts of a model, as values.

    Attributes:
        backbone: Part that turns an image into feature maps.
        decoder: Part that turns feature maps into feature maps.
        head: Part that turns feature maps into raw predictions.
    """

    backbone: Backbone
    decoder: Decoder
    head: Head


class Joined(SavedAsParts, TrainedByHead):
    """Base class of models that connect three parts.

    `Detector`, `Classifier` and `Segmenter` document the constructor's arguments.

    Attributes:
        task: Name of the task, that of the head.
        parts: The three parts as values.
        backbone: Sub-model built from the backbone; likewise `decoder` and `head`.
        image_size: (height, width) in pixels, or None.
        class_map: Class map, or None.
        preprocessing: What the first layer, `preprocessing`, does to images.
        resize: How images of any size are brought to the size of the model's input, as a transform;
            `vg.evaluate`, `vg.predict`, training and exported files use it.
        is_fused: Whether the layers are built in their folded form.
        needs_decoder: Whether a decoder is required between backbone and head.
    """

    needs_decoder: ClassVar[bool] = True
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Set the signature that `help`, editors and notebooks show."""
        super().__init_subclass__(**kwargs)
        # Otherwise it would be that of `__new__`, which takes any arguments.
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Create the model, and record the arguments if a subclass defines its own constructor."""
        model = super().__new__(cls, *args, **kwargs)
        record_arguments(model, args, kwargs)
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
        preprocessing: Preprocessing | Mapping[str, Any] | None = None,
        resize: Resizing | Mapping[str, Any] | str | None = None,
    ) -> None:
        size = _as_size(image_size)
        classes = _as_class_map(class_map)
        task = self._task_for(backbone, decoder, head)
        values = _as_preprocessing(preprocessing, backbone)
        backbone.check_preprocessing(values)
        placing = as_resize(resize, task.resize, values)
        built: dict[str, keras.Model] = {}

        def build_part(part: Part, inputs: FeatureSpec) -> keras.Model:
            if part.role not in built:
                built[part.role] = part.as_model(inputs, size)
            return built[part.role]

        # While a model file is opened, the sub-models are built without weights. Building one then
        # costs no more than the shape inference that `connect` would otherwise run, so the shapes
        # of the sub-models themselves are used. Otherwise `connect` checks all parts before any
        # weight exists.
        first = build_part if size and is_weightless() else None
        with dtype_policy(dtype), folding(fused):
            connection = connect(backbone, decoder, head, size, classes, first, values.output)
            images, preprocessed = image_input(values, size)
            backbone_model = build_part(backbone, values.output)
            decoder_model = build_part(decoder, connection.features)
            head_model = build_part(head, connection.decoded)
            features = backbone_model(preprocessed)
            decoded = decoder_model({level: features[level] for level in connection.features})
            maps = {level: decoded[level] for level in connection.decoded}
            targets = {
                f"{PREFIX}{key}": tensor
                for key, tensor in target_inputs(head.target_inputs).items()
            }
            raw = head_model(maps | targets)
            # A model without such inputs takes images alone.
            super().__init__({"images": images} | targets if targets else images, raw, name=name)
        self.take_targets(head.target_inputs)
        self.parts = Parts(backbone, decoder, head)
        self.image_size, self.class_map, self.is_fused = size, classes, fused
        self.preprocessing, self.resize = values, placing
        self.backbone, self.decoder, self.head = backbone_model, decoder_model, head_model
        # `object.__setattr__` keeps Keras and TensorFlow from tracking the tensors as state.
        object.__setattr__(self, "_levels", connection.decoded)
        object.__setattr__(self, "_features", {"backbone": features, "decoder": decoded})

    @property
    def task(self) -> str:
        """Name of the task, that of the head."""
        return self.parts.head.task

    def context(self, image_size: ImageSize | None = None) -> HeadContext:
        """Return what a loss or decoding needs to know about the head.

        Args:
            image_size: (height, width) of the images in pixels; None is the model's own.

        Raises:
            UserError: The model has no image size, and none is given.
        """
        size = image_size or self.image_size
        if size is None:
            raise UserError(
                "the image size of the model is not fixed",
                rule="(height, width) of the images in pixels",
                fix="model.context((640, 640))",
            )
        levels: FeatureSpec = self._levels
        return HeadContext(self.parts.head, size, levels)

    def features(self, images: Any) -> dict[str, dict[str, Any]]:
        """Return the feature maps of the backbone and the decoder.

        The layers are those of the model, with its weights. Symbolic images make a separate model,
        for example to compute the features of many images with `predict`.

        Args:
            images: Images as the model takes them, or `keras.Input` of that shape.

        Returns:
            `{"backbone": {level: tensor}, "decoder": {level: tensor}}`. The tensor of a level of
            stride s, such as s = 8 for "p3", has the shape (batch, height / s, width / s,
            channels) and the compute dtype of the model.

        Example:
            >>> model = vg.Detector(
            ...     backbone=vg.backbones.CSPDarknet(depth=0.33, width=0.25),
            ...     decoder=vg.decoders.FPN(channels=32),
            ...     head=vg.heads.AnchorFree(num_classes=3),
            ... )
            >>> images = keras.Input((64, 96, 3))
            >>> extractor = keras.Model(images, model.features(images))
            >>> extractor.output["decoder"]["p4"].shape
            (None, 4, 6, 32)
        """
        return keras.Model(self.inputs[0], vars(self)["_features"])(images)

    def set_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Replace the preprocessing, as weights from elsewhere may need.

        Args:
            preprocessing: For images of as many channels, with as many channels for the backbone.

        Raises:
            UserError: The number of channels differs, or the weights of the backbone need another.
        """
        before = self.preprocessing
        sides = (preprocessing.channels, preprocessing.output_channels)
        if sides != (before.channels, before.output_channels):
            raise UserError(
                f"the preprocessing of {self.name} has another number of channels",
                rule=f"{before.channels} channels, {before.output_channels} for the backbone",
                received=str(preprocessing),
            )
        self.parts.backbone.check_preprocessing(preprocessing)
        self.preprocessing = preprocessing
        self.get_layer(LAYER).preprocessing = preprocessing
        # Compiled functions contain the old values.
        self.train_function = self.test_function = self.predict_function = None

    def get_config(self) -> dict[str, Any]:
        """Return the parts, image size, class map and flags as JSON values, but no layers."""
        return {
            "name": self.name,
            "backbone": written(self.parts.backbone),
            "decoder": written(self.parts.decoder),
            "head": written(self.parts.head),
            "image_size": None if self.image_size is None else list(self.image_size),
            "class_map": None
            if self.class_map is None
            else {"names": list(self.class_map.names), "ids": list(self.class_map.ids)},
            "preprocessing": self.preprocessing.to_dict(),
            "resize": written_resize(self.resize),
            "dtype": self.dtype_policy.name,
            "fused": self.is_fused,
            **self.trainable_config(),
            **own_arguments(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Build a model with new weights from the result of `get_config`.

        Raises:
            ModelFileError: If the class of a part is not registered.
            ConfigError: If the preprocessing or the resize is invalid.
            UserError: If the image size or the class map is invalid.
            ContractError: If the parts do not fit together.
        """
        classes = config.get("class_map")
        if ARGUMENTS in config:
            with dtype_policy(config.get("dtype")), folding(bool(config.get("fused"))):
                model: Self = construct_subclass(cls, config)
            model.class_map = classes and ClassMap(tuple(classes["names"]), tuple(classes["ids"]))
            model.is_fused = bool(config.get("fused"))
            # For a subclass that passes no name on, Keras would number a new one.
            name = config.get("name")
            if isinstance(name, str) and name and "/" not in name:
                model.name = name
            return model.freeze_as(config)
        model = cls(
            backbone=read_part(config.get("backbone"), Backbone),
            decoder=read_part(config.get("decoder"), Decoder),
            **cls.head_arguments(read_part(config.get("head"), Head)),
            image_size=config.get("image_size"),
            class_map=None if classes is None else _class_map(classes),
            preprocessing=read_preprocessing(config),
            resize=resize_in(config),
            dtype=config.get("dtype"),
            fused=bool(config.get("fused")),
            name=config.get("name"),
        )
        return model.freeze_as(config)

    @classmethod
    def head_arguments(cls, head: Head) -> dict[str, Any]:
        """Return the arguments of the constructor for a head."""
        return {"head": head}

    def resized(self, image_size: ImageSize) -> Self:
        """Build a model with the same parts and new weights for another image size.

        Args:
            image_size: (height, width) in pixels.
        """
        if own_arguments(self):
            return self.from_config(self.get_config() | {"image_size": list(image_size)})
        parts = self.parts
        model = type(self)(
            backbone=parts.backbone,
            decoder=parts.decoder,
            **self.head_arguments(parts.head),
            image_size=image_size,
            class_map=self.class_map,
            preprocessing=self.preprocessing,
            resize=self.resize,
            fused=self.is_fused,
        )
        # Frozen layers, such as batch normalization, may behave differently during training.
        return model.freeze_as(self.trainable_config())

    def infer(
        self,
        images: Any,
        *,
        score: float | None = None,
        iou: float | None = None,
        value_range: Any = None,
        batch_size: int = 8,
    ) -> Iterator[Any]:
        """Predict on images of any size; results are in pixels of each original image.

        This is `vg.predict`. `detect`, `classify` and `segment` are this method, each on the model
        of that task. Keras's `predict` returns raw predictions for a batch of prepared images.

        Args:
            images: One image, an array (n, height, width, channels), or an iterable of images:
                paths, Pillow images or arrays of any size.
            score: Minimum score of a detection (by default 0.25), or of a class other than the best
                (by default 0).
            iou: IoU above which the weaker of two boxes of a class is suppressed.
            value_range: Range of the values of arrays that are not pixel values as stored, such as
                (0, 1).
            batch_size: Number of images per step.

        Returns:
            An iterator with one result per image: `Instances`, `Ranking` or `Segments`.
        """
        return infer(
            self, images, score=score, iou=iou, value_range=value_range, batch_size=batch_size
        )

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Return raw predictions, as `keras.Model.predict` does.

        The images are (batch, height, width, channels), pixel values as stored, in the size of the
        model's input. For boxes, classes or masks of images of any size use `detect`, `classify` or
        `segment`.
        """
        return super().predict(*args, **kwargs)

    def _repr_html_(self) -> str:
        return as_html(self)

    def fused(self) -> Self:
        """Return a copy of the model for inference that needs fewer operations.

        Batch normalization is folded into the preceding convolution, parallel branches are folded
        into one convolution, and layers of the head that are used only in training are omitted. The
        outputs are equal up to rounding.

        Raises:
            UserError: If the model is already fused.
        """
        model: Self = fused(self)
        return model

    @classmethod
    def _task_for(cls, backbone: Backbone, decoder: Decoder, head: Head) -> Any:
        """Return the task of the head, after a check that the class is for it."""
        if not isinstance(head, Head):
            raise UserError(
                f"{cls.__name__} received {head} as its head",
                rule="a head, which defines a task",
                fix=f"name the arguments: {cls.__name__}(backbone=…, decoder=…, head=…)",
            )
        # Imported by name, because imports go downward only, and tasks are above the models.
        base = importlib.import_module("visiongarden.tasks").Task
        tasks, kind = base.by_name(), base.find(head.task)
        model = kind.model
        if issubclass(cls, model):
            return kind.of_head(head)
        raise ContractError(
            f"{cls.__name__} cannot use the head {head}",
            wants=(
                "a head for",
                " or ".join(n for n, t in tasks.items() if issubclass(cls, t.model)),
            ),
            offered=f"one for {head.task}",
            fix=f"{model.__name__}(backbone={backbone}, decoder={decoder}, head={head})",
        )


def _as_size(size: Any) -> ImageSize | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    # `__index__` accepts integers of any type, such as NumPy's, and rejects floats and strings.
    is_valid = len(sides) == 2 and all(
        isinstance(side, SupportsIndex) and not isinstance(side, bool) and 0 < int(side) <= MAX_SIDE
        for side in sides
    )
    if not is_valid or sides[0] * sides[1] > MAX_PIXELS:
        raise UserError(
            "image_size is not valid",
            rule=f"(height, width), integers from 1 to {MAX_SIDE}, "
            f"with at most {MAX_PIXELS:,} pixels",
            received=f"{size!r:.80}",
            fix="image_size=(640, 640)",
        )
    return int(sides[0]), int(sides[1])


def _class_map(config: Any) -> ClassMap:
    names, ids = (config.get(key) if isinstance(config, dict) else None for key in ("names", "ids"))
    if not isinstance(names, list) or not isinstance(ids, list) or len(names) != len(ids):
        raise UserError(
            "the class map is not valid", rule="one name and one id for each class",
            received=f"{config!r:.200}",
        )  # fmt: skip
    return ClassMap(tuple(names), tuple(ids))


def _as_class_map(classes: ClassMap | Sequence[str] | None) -> ClassMap | None:
    if classes is None or isinstance(classes, ClassMap):
        return classes
    return ClassMap(tuple(classes))


def _as_preprocessing(
    given: Preprocessing | Mapping[str, Any] | None, backbone: Backbone
) -> Preprocessing:
    if given is None:
        return backbone.preprocessing or Preprocessing()
    return given if isinstance(given, Preprocessing) else Preprocessing.from_dict(given)
