"""What the two kinds of models provide: models made of parts, and networks imported from Darknet.

The protocols describe any object that offers the same, such as a custom model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.transforms import Resizing
from visiongarden.types import HeadContext, ImageSize


@runtime_checkable
class MadeOfParts(Protocol):
    """A model with `parts`: a backbone, a decoder and a head."""

    @property
    def parts(self) -> Any:
        """The parts by their role."""

    def context(self, image_size: ImageSize | None = None) -> HeadContext:
        """Return what a loss or decoding needs to know about the head."""


@runtime_checkable
class WithPredictionLayers(Protocol):
    """An imported network with its prediction layers, which may be none."""

    @property
    def heads(self) -> Sequence[Any]:
        """Steps of the network that predict boxes."""


@runtime_checkable
class WithTask(Protocol):
    """A model that names its task."""

    @property
    def task(self) -> str | None:
        """Name of the task."""


@runtime_checkable
class WithImageSize(Protocol):
    """A model with the size of the images that it takes."""

    @property
    def image_size(self) -> ImageSize | None:
        """(height, width) in pixels, or None."""


@runtime_checkable
class WithClassMap(Protocol):
    """A model or dataset with the names of its classes."""

    @property
    def class_map(self) -> Any:
        """The class map, or None."""


@runtime_checkable
class WithPreprocessing(Protocol):
    """A model that preprocesses its images itself."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What its first layer does to the images."""


@runtime_checkable
class WithResize(Protocol):
    """A model that states how images are brought to the size of its input."""

    @property
    def resize(self) -> Resizing:
        """The transform, see `vg.transforms.Resizing`."""


@runtime_checkable
class OfWholeImages(Protocol):
    """A model that resizes images and suppresses boxes itself, as imported networks do."""

    @property
    def class_map(self) -> Any:
        """The class map, or None."""

    def predict_image(
        self, image: Any, score: float | None = None, iou: float | None = None
    ) -> Any:
        """Return the result for one image of any size, and the best score."""


@runtime_checkable
class WithSignature(Protocol):
    """An exported file, which states what other models take from their head."""

    @property
    def signature(self) -> Any:
        """The signature, see `vg.exporters.Signature`."""

    @property
    def num_classes(self) -> int:
        """Number of classes or values."""

    def at_size(self, size: ImageSize) -> Any:
        """Return the forward pass for images of a size, or refuse another size."""


def needs_nms(model: Any) -> bool:
    """Return whether a model predicts boxes of which several can belong to one object."""
    if isinstance(model, WithSignature):
        return bool(model.signature.needs_nms)
    if isinstance(model, WithPredictionLayers) and not isinstance(model, MadeOfParts):
        return bool(model.heads)
    decoding = model.parts.head.chosen_decoding()
    return "boxes" in decoding.outputs and decoding.needs_nms


def pixel_values_of(model: Any) -> Preprocessing:
    """Return the preprocessing whose pixel values the host passes to a model.

    An imported network of one channel takes 8-bit RGB and converts it itself, as Darknet does.
    """
    preprocessing = preprocessing_of(model)
    converts = isinstance(model, OfWholeImages) and preprocessing.channels == 1
    return Preprocessing() if converts else preprocessing


def preprocessing_of(model: Any) -> Preprocessing:
    """Return the preprocessing of a model; of another object with a task, that of 8-bit RGB."""
    return model.preprocessing if isinstance(model, WithPreprocessing) else Preprocessing()
