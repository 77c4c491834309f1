"""`ExportedModel`: an exported file that predicts like its model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from visiongarden.data.model_pixels import check_pixels
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ModelFileError, UserError
from visiongarden.exporters.signature import Signature
from visiongarden.transforms import Resizing
from visiongarden.types import ClassMap, ImageSize


class ExportedModel:
    """Exported file, opened by its runtime; `vg.evaluate` and `vg.predict` take it like a model.

    Args:
        signature: What the file states about itself.
        run: Function that runs the file on images (batch, height, width, channels) of
            `signature.dtype`, and returns its outputs by name.
        name: Name of the model, such as that of its file.

    Example:
        >>> model = vg.Classifier(
        ...     backbone=vg.backbones.CSPDarknet(levels=("p5",), depth=0.33, width=0.0625),
        ...     head=vg.heads.Classification(num_classes=2),
        ...     image_size=64,
        ... )
        >>> signature = vg.exporters.Signature.of(model, (64, 64))
        >>> exported = vg.exporters.ExportedModel(
        ...     signature, lambda images: {"scores": np.full((len(images), 2), 0.5, np.float32)}
        ... )
        >>> exported(np.zeros((1, 64, 64, 3), np.uint8))["scores"].tolist()
        [[0.5, 0.5]]
        >>> next(vg.predict(exported, np.zeros((80, 60, 3), np.uint8))).scores.tolist()
        [0.5, 0.5]
    """

    def __init__(
        self,
        signature: Signature,
        run: Callable[[np.ndarray], dict[str, np.ndarray]],
        name: str = "exported",
    ) -> None:
        self.signature, self.name, self._run = signature, name, run

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the decoded outputs by name, batch first.

        Args:
            images: (batch, height, width, channels) of the file's size, pixel values as stored.

        Raises:
            UserError: The images have another type, size or number of channels.
            ModelFileError: The file does not return the outputs of its signature.
        """
        images, signature = np.asarray(images), self.signature
        check_pixels(images, signature.preprocessing, f"images.astype({signature.dtype!r})")
        if images.shape[1:3] != signature.image_size:
            self._refuse_size((images.shape[1], images.shape[2]))
        found = self._run(images.astype(signature.dtype, copy=False))
        missing = [name for name in signature.outputs if name not in found]
        if missing or any(len(found[name]) != len(images) for name in signature.outputs):
            raise ModelFileError(
                f"{self.name} does not return the outputs of its signature",
                rule=f"{', '.join(signature.outputs)}, one row for each image",
                received=", ".join(f"{name} {np.shape(found[name])}" for name in found),
            )
        return {name: np.asarray(found[name]) for name in signature.outputs}

    def _refuse_size(self, size: ImageSize) -> None:
        height, width = self.image_size
        raise UserError(
            f"{self.name} cannot process images of {size[0]} × {size[1]} pixels",
            rule=f"{height} × {width} pixels, for which it was exported",
            fix=f"vg.export(model, image_size=({size[0]}, {size[1]}))",
        )

    def at_size(self, size: ImageSize) -> ExportedModel:
        """Return itself, after a check of the image size.

        Raises:
            UserError: The file was exported for another size.
        """
        if tuple(size) != self.image_size:
            self._refuse_size(size)
        return self

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.signature.task

    @property
    def class_map(self) -> ClassMap | None:
        """Class map, or None."""
        return self.signature.class_map

    @property
    def image_size(self) -> ImageSize:
        """(height, width) of the images in pixels."""
        return self.signature.image_size

    @property
    def preprocessing(self) -> Preprocessing:
        """What the file does to the images first."""
        return self.signature.preprocessing

    @property
    def resize(self) -> Resizing:
        """How images of any size are brought to `image_size`."""
        return self.signature.resize

    @cached_property
    def num_classes(self) -> int:
        """Number of classes or values, the last axis of the scores or of the last output."""
        shape = (1, *self.image_size, self.signature.channels)
        found = self(np.zeros(shape, self.preprocessing.dtype))
        outputs = self.signature.outputs
        return int(found["scores" if "scores" in outputs else outputs[-1]].shape[-1])

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"ExportedModel({self.name}, {self.task}, {height} × {width} pixels)"


def opened(signature: Signature, run: Any, name: str) -> ExportedModel:
    """Return an exported model whose task is known.

    Raises:
        UserError: The task is not registered, or its fields are not valid.
    """
    signature.find_task()
    return ExportedModel(signature, run, name)
