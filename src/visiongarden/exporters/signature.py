"""`Signature`: what a program needs to know to use an exported file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

import visiongarden.darknet  # noqa: F401  registers DarknetResize for signatures
from visiongarden.config import Value
from visiongarden.config.files import reading_files, writing_files
from visiongarden.data.preprocessing import PixelType, Preprocessing
from visiongarden.errors import ConfigError, ModelFileError, UserError
from visiongarden.evaluation.decoding import outputs_of
from visiongarden.models.joined import MAX_SIDE
from visiongarden.models.kinds import needs_nms, preprocessing_of
from visiongarden.tasks import Task, resize_of, task_of
from visiongarden.transforms import Resizing
from visiongarden.types import ClassMap, ImageSize, LabelMap

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Signature(Value):
    """What a program needs to know to use an exported file; stored in it.

    Attributes:
        task: Name of the task.
        task_fields: Fields of the task, such as the names and units of a regression.
        class_map: Class map, or None.
        label_map: Names and units of the predicted values, or None.
        image_size: (height, width) of the images in pixels.
        channels: Number of channels of the images.
        dtype: Type of the file's input.
        preprocessing: What the file does to the images first.
        resize: How images of any size are brought to `image_size`, which the file does not do.
        outputs: Names of the outputs.
        needs_nms: Whether the predicted boxes still have to be suppressed.

    Raises:
        ConfigError: A field is not valid.

    Example:
        >>> model = vg.Classifier(
        ...     backbone=vg.backbones.CSPDarknet(levels=("p5",), depth=0.33, width=0.0625),
        ...     head=vg.heads.Classification(num_classes=2),
        ...     image_size=64,
        ... )
        >>> signature = vg.exporters.Signature.of(model, (64, 64))
        >>> signature.outputs, signature.resize
        (('scores',), CenterCrop())
        >>> vg.exporters.Signature.from_dict(signature.to_dict()) == signature
        True
    """

    task: str
    task_fields: dict[str, Any] = Field(default_factory=dict)
    class_map: ClassMap | None = None
    label_map: LabelMap | None = None
    image_size: tuple[Side, Side]
    channels: int
    dtype: PixelType
    preprocessing: Preprocessing
    resize: Resizing
    outputs: tuple[str, ...]
    needs_nms: bool

    @model_validator(mode="after")
    def _channels_agree(self) -> Self:
        if self.channels != self.preprocessing.channels:
            raise ConfigError(
                f"channels is {self.channels}",
                rule="the number of channels of the preprocessing",
                received=str(self.preprocessing),
                fix=f"channels={self.preprocessing.channels}",
            )
        if not self.outputs:
            raise ConfigError("there are no outputs", rule="the name of at least one output")
        return self

    @classmethod
    def of(cls, model: Any, image_size: ImageSize) -> Self:
        """Return the signature of a model's exported file.

        Args:
            model: A model.
            image_size: (height, width) of the images in pixels.
        """
        task, preprocessing = task_of(model), preprocessing_of(model)
        with writing_files():
            fields = {name: value for name, value in task.to_dict().items() if name != "type"}
        units = task.units
        return cls(
            task=task.name,
            task_fields=fields,
            class_map=model.class_map,
            label_map=LabelMap(tuple(units), tuple(units.values())) if units else None,
            image_size=(int(image_size[0]), int(image_size[1])),
            channels=preprocessing.channels,
            dtype=preprocessing.dtype,
            preprocessing=preprocessing,
            resize=resize_of(model),
            outputs=outputs_of(model),
            needs_nms=needs_nms(model),
        )

    def find_task(self) -> Task:
        """Return the task with its fields.

        Raises:
            ConfigError: There is no such task, or a field is not valid.
        """
        with reading_files():
            found: Task = Task.find(self.task).from_dict(self.task_fields)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        with writing_files():
            fields = super().to_dict()
        classes, labels = self.class_map, self.label_map
        fields["class_map"] = classes and {"names": list(classes.names), "ids": list(classes.ids)}
        fields["label_map"] = labels and {"names": list(labels.names), "units": list(labels.units)}
        return fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the signature whose `to_dict` is `data`.

        Raises:
            ConfigError: A field is unknown, missing or invalid.
        """
        with reading_files():
            return super().from_dict(data)

    @classmethod
    def read(cls, texts: Mapping[str, str], file: Any) -> Self:
        """Return the signature in a file, whose fields are stored as JSON texts.

        Args:
            texts: JSON text of each field; further entries are ignored.
            file: Path of the file, for messages.

        Raises:
            ModelFileError: A field is missing or not valid.
        """
        names = [name for name in cls.model_fields if name in texts]
        try:
            return cls.from_dict({name: json.loads(texts[name]) for name in names})
        except (UserError, ValueError, RecursionError) as error:
            what = error.what if isinstance(error, UserError) else f"{error}"
            raise ModelFileError(
                f"{file} has no valid signature: {what}",
                rule="a file that vg.export wrote",
                fix='vg.export("best.keras")',
            ) from error
