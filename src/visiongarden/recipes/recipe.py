"""`Recipe`: one complete training run as a value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from visiongarden.backends.weightless import weightless
from visiongarden.config import Value
from visiongarden.config.overrides import as_override
from visiongarden.data import Channels, Preprocessing
from visiongarden.data.combined import MAX_WEIGHT
from visiongarden.data.readers import Reader
from visiongarden.data.readers.choosing import AUTO, reader_of
from visiongarden.errors import ConfigError, fields_spelled
from visiongarden.heads import CombinedHeads
from visiongarden.models import Joined
from visiongarden.parts import Backbone, Decoder, Head, Part, check_image_size
from visiongarden.recipes.evaluation_settings import Evaluation
from visiongarden.recipes.initial_weights import InitialWeights, initial_weights
from visiongarden.tasks import DetectionTask, Task, find
from visiongarden.training import Training
from visiongarden.transforms import Resizing, Transform
from visiongarden.types import ImageSize, stride_of


class Model(Value):
    """Model of a run: three parts and an image size.

    Attributes:
        backbone: Backbone: image -> feature maps.
        decoder: Decoder: feature maps -> feature maps.
        head: Head: feature maps -> raw predictions. Its `num_classes` defaults to the number of
            classes in the dataset.
        heads: Several heads by name, instead of `head`; see `MultiHead`.
        loss_weights: Factor of each head's loss, by the name of the head; 1 by default.
        image_size: (height, width) in pixels, or one number for both.
        preprocessing: Channels, type, scale, mean and std of the images, see `Preprocessing`; by
            default what the weights of the backbone need, else that of the training images.
        resize: How images of any size are brought to `image_size`: a letterbox, stretching or the
            center crop, see `vg.transforms.Resizing`; by default what suits the task.
        weights: Pretrained weights that training starts from: the folder of a run, a model file or
            a checkpoint, or the fields of `InitialWeights`.
    """

    backbone: Backbone
    decoder: Decoder
    head: Head
    heads: dict[str, Head] | None = None
    loss_weights: dict[str, float] | None = None
    image_size: ImageSize = (320, 320)
    preprocessing: Preprocessing | None = None
    resize: Resizing | None = None
    weights: InitialWeights | None = None

    @field_validator("weights", mode="before")
    @classmethod
    def _path_or_fields(cls, weights: Any) -> Any:
        return initial_weights(weights)

    @model_validator(mode="before")
    @classmethod
    def _several_heads(cls, data: Any) -> Any:
        """Combine several heads to the head of the model."""
        if not isinstance(data, Mapping) or data.get("heads") is None:
            return data
        given = data.get("head")
        if given is not None and not isinstance(given, CombinedHeads):
            raise ConfigError(
                "the model has both head and heads", rule="one of them",
                fix="move the head to model.heads, with a name",
            )  # fmt: skip
        weights = data.get("loss_weights") or {}
        combined = {"type": "CombinedHeads", "heads": data["heads"], "loss_weights": weights}
        return {**data, "head": combined}

    @model_validator(mode="after")
    def _weights_of_heads(self) -> Self:
        if self.loss_weights is not None and self.heads is None:
            raise ConfigError(
                "the model has loss_weights, but one head",
                rule="loss_weights are factors of several heads, model.heads",
                fix="delete loss_weights",
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the fields; several heads are written once, as `heads`."""
        fields = super().to_dict()
        if self.heads is None:
            left_out = {"heads", "loss_weights"}
        else:
            left_out = {"head"} if self.loss_weights else {"head", "loss_weights"}
        return {name: value for name, value in fields.items() if name not in left_out}

    @field_validator("image_size", mode="before")
    @classmethod
    def _both_sides(cls, size: Any) -> Any:
        return (size, size) if isinstance(size, int) else size

    def check(self) -> None:
        """Check the image size against the largest stride of the backbone.

        Raises:
            UserError: A side is not a multiple of the stride.
        """
        with fields_spelled(self.field_as_override):
            check_image_size(self.image_size, self.largest_stride)

    def field_as_override(self, part: Any, name: str, value: Any) -> str | None:
        """Return the override of a field, which works in Python and for `train`.

        Args:
            part: Part that has the field; None for the model itself.
            name: Name of the field.
            value: Value of the field.

        Returns:
            The override; None for a part that is not one of the model's.
        """
        owners: dict[str, Part | None] = {"": None}
        owners |= {"backbone.": self.backbone, "decoder.": self.decoder}
        if isinstance(self.head, CombinedHeads):
            owners |= {f"heads.{own}.": head for own, head in self.head.heads.items()}
        else:
            owners["head."] = self.head
        found = next((owner for owner, other in owners.items() if other is part), None)
        return None if found is None else as_override(f"model.{found}{name}", value)

    @property
    def largest_stride(self) -> int:
        """Stride of the coarsest level; both sides of an image must be multiples of it."""
        return max(map(stride_of, self.backbone.levels))


class Data(Value):
    """Dataset of a run: location, reader and splits.

    Attributes:
        path: Folder or file of the dataset; relative to the working directory.
        reader: Reader of the annotations, by name or with its fields; "auto" chooses it.
        channels: Channels of the images: "auto", "rgb", "gray", "rgba", "stored", or a list with a
            part of the file name for each channel; see `visiongarden.data.Channels`.
        train: Name of the training split.
        val: Name of the validation split, evaluated during training.
        value_range: Smallest and largest value that the pixels can have, such as [0, 4095] for 12
            bits; by default those of the type of the images. Floats need it.
        min_visibility: Smallest visible fraction of an object that is kept by the transforms.
        invalid_boxes: "error" refuses a dataset with boxes outside the image or without area;
            "drop" removes these boxes and lists them.
        class_names: Class names to use instead of those in the files.
        weight: How many times an epoch of training shows each image: 2 is twice, 0.5 is half of the
            images, drawn again for each epoch.
        classes: Classes that are annotated in all images; None: the class map of the dataset.
        fields: Annotations that are used, such as ["boxes"]; None: all.
    """

    path: Path
    reader: Reader | Literal["auto"] = "auto"
    channels: str | tuple[str, ...] = "auto"
    value_range: tuple[float, float] | None = None
    train: str = "train"
    val: str = "val"
    min_visibility: Annotated[float, Field(ge=0, le=1)] = 0.1
    invalid_boxes: Literal["error", "drop"] = "error"
    class_names: tuple[str, ...] | None = None
    weight: Annotated[float, Field(gt=0, le=MAX_WEIGHT)] = 1.0
    classes: tuple[str, ...] | None = None
    fields: tuple[str, ...] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the dataset is used as it is read: with all annotations, each image once."""
        return (self.weight, self.classes, self.fields) == (1, None, None)

    @property
    def may_exist(self) -> bool:
        """Whether there is something to read: the path exists, or it is the name of a dataset."""
        return self.path.exists() or (isinstance(self.reader, Reader) and self.reader.takes_name)

    @field_validator("channels")
    @classmethod
    def _valid_channels(cls, channels: str | tuple[str, ...]) -> str | tuple[str, ...]:
        Channels.of(channels)
        return channels

    @field_validator("reader", mode="before")
    @classmethod
    def _named(cls, reader: Any) -> Any:
        return reader if reader == AUTO else reader_of(reader)


_DATASETS: TypeAdapter[tuple[Data, ...]] = TypeAdapter(tuple[Data, ...])


def datasets_of(data: Any) -> Data | tuple[Data, ...]:
    """Return the dataset, or the datasets, of a recipe's field `data`.

    Raises:
        ConfigError: A field is not valid.
    """
    if not isinstance(data, list | tuple):
        return data if isinstance(data, Data) else Data.from_dict(data)
    if not data:
        raise _no_dataset()
    return tuple(each if isinstance(each, Data) else Data.from_dict(each) for each in data)


def _no_dataset() -> ConfigError:
    return ConfigError("the list of datasets is empty", fix="data: [{path: my_images}]")


def _validated(data: Any) -> Data | tuple[Data, ...]:
    """Return the value of the field `data`; pydantic adds the field to the path of an error."""
    # Not left to pydantic, whose error would list the fields of both alternatives.
    if not isinstance(data, list | tuple):
        return data if isinstance(data, Data) else Data.model_validate(data)
    if not data:
        raise _no_dataset()
    found = _DATASETS.validate_python(data)
    if len({each.min_visibility for each in found}) > 1:
        raise ConfigError(
            "the datasets have different values of min_visibility",
            rule="one value for the run",
            received=", ".join(f"{each.min_visibility:g}" for each in found),
            fix=f"data.0.min_visibility={found[1].min_visibility:g}",
        )
    return found


def task_of_head(model: Any) -> str | None:
    """Return the name of the task of the heads in the field `model` of a recipe, or None.

    Raises:
        ConfigError: There is no such head.
    """
    if isinstance(model, Model):
        return model.head.task
    if not isinstance(model, Mapping):
        return None
    if isinstance(model.get("heads"), Mapping):
        return CombinedHeads.task
    head = model.get("head")
    if isinstance(head, Head):
        return head.task
    name = head.get("type") if isinstance(head, Mapping) else head
    return Head.find(name).task if isinstance(name, str) else None


def _default_transforms(fields: Mapping[str, Any]) -> tuple[Transform, ...]:
    """Return those of the task; an invalid model, which the recipe reports, gives it nothing."""
    kind: type[Task] = Task.find(fields.get("task", DetectionTask.name))
    model = fields.get("model")  # missing if it is invalid
    return (kind() if model is None else kind.of_head(model.head)).transforms()


class Recipe(Value):
    """One complete training run; the same recipe gives the same run.

    Attributes:
        task: Name of the task, such as "detection"; by default that of the head.
        model: Model to train.
        data: Dataset to train and evaluate on, or a list of several.
        transforms: Transforms of the training images, in order; by default those of the task.
        training: Optimizer, schedule and length of the run.
        evaluation: Further metrics, and the one that selects the best model.
    """

    _takes_overrides: ClassVar[bool] = True
    task: str = DetectionTask.name
    model: Model
    data: Data | tuple[Data, ...]
    transforms: tuple[Transform, ...] = Field(default_factory=_default_transforms)
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    @property
    def kind(self) -> Task:
        """The task, with what it takes from the head."""
        kind: type[Task] = Task.find(self.task)
        return kind.of_head(self.model.head)

    @property
    def datasets(self) -> tuple[Data, ...]:
        """The datasets of the run."""
        return self.data if isinstance(self.data, tuple) else (self.data,)

    @model_validator(mode="before")
    @classmethod
    def _task_of_the_head(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping) or "task" in fields:
            return fields
        task = task_of_head(fields.get("model"))
        return fields if task is None else {**fields, "task": task}

    @field_validator("task", mode="before")
    @classmethod
    def _name_of_a_task(cls, task: Any) -> str:
        # Any of the task's names, such as its key, is accepted; recipes contain `Task.name`.
        return find(str(task)).name

    @field_validator("data", mode="before")
    @classmethod
    def _one_or_several(cls, data: Any) -> Any:
        return _validated(data)

    @model_validator(mode="after")
    def _names_the_monitor(self) -> Self:
        if self.model.heads is not None and self.evaluation.monitor is None:
            raise ConfigError(
                "the model has several heads, and evaluation.monitor is not set",
                rule="the metric that selects the best model",
                fix=f"evaluation.monitor={self.kind.monitor}",
            )
        return self

    def build(self, **options: Any) -> Joined:
        """Build the model of the run with new weights.

        Args:
            **options: Arguments of the model, such as `class_map` and `dtype`.
        """
        parts = self.model
        kind: Any = find(self.task).model
        arguments = {"preprocessing": parts.preprocessing, "resize": parts.resize} | options
        with fields_spelled(parts.field_as_override):
            model: Joined = kind(
                backbone=parts.backbone,
                decoder=parts.decoder,
                **kind.head_arguments(parts.head),
                image_size=parts.image_size,
                **arguments,
            )
        return model

    def build_weightless(self, **options: Any) -> Joined:
        """Build the model without memory for its weights, for inspection only.

        Args:
            **options: Arguments of the model, such as `class_map` and `dtype`.
        """
        with weightless():
            return self.build(**options)
