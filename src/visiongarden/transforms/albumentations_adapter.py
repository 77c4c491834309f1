"""`Albumentations`: a transform of the package albumentations 2.0."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PrivateAttr, WithJsonSchema

from visiongarden.errors import ConfigError, UserError
from visiongarden.registry import register
from visiongarden.samples import Keypoints, Sample
from visiongarden.transforms import albumentations_package as adapted
from visiongarden.transforms.albumentations_arrays import Arrays
from visiongarden.transforms.named_object import checked_name, imported
from visiongarden.transforms.photometric import decoded
from visiongarden.transforms.transform import Context, Probability, Transform

_LOG = logging.getLogger(__name__)


def _checked(value: Any) -> Any:
    if isinstance(value, str):
        return checked_name(value)
    if isinstance(value, Mapping):
        inner = value.get("transform")
        if isinstance(inner, Mapping) and isinstance(inner.get("__class_fullname__"), str):
            return dict(value)
    elif adapted.is_object(value):
        adapted.package()  # refuses another distribution that provides the module
        return value
    raise ConfigError(
        "the transform of albumentations is not valid",
        rule="its to_dict() config, module:name, or in Python the object",
        received=repr(value)[:80],
        fix="transform=A.Compose([A.HorizontalFlip()]).to_dict()",
    )


@register
class Albumentations(Transform):
    """Apply a transform of albumentations 2.0.8, which must be installed.

    Image, semantic mask, boxes, masks and keypoints are passed to it, and all other fields follow
    by row. Its own parameters for boxes and keypoints have no effect: objects are removed by
    `min_visibility`. It is reproducible: its random state is set for each sample. Where it only
    changes pixels, annotations stay exactly as they are; otherwise masks become bitmaps.

    Where it scales an image, keypoints deviate by up to (scale - 1) / 2 pixels, because
    albumentations scales their coordinates and mirrors them as centers of pixels. Mirrors that it
    makes swap left and right keypoints; where their pairs are not known, the sample stays as it is.

    Attributes:
        transform: config of an object, as its `to_dict()` returns it; `module:name` of an object;
            or in Python the object. A name is imported when the transform is applied or resolved.
        min_visibility: smallest visible fraction of a box that is kept.

    Example:
        >>> blur = {"transform": {"__class_fullname__": "Blur", "blur_limit": [3, 3], "p": 1.0}}
        >>> vg.transforms.Albumentations(transform=blur).to_dict()["transform"] == blur
        True
    """

    transform: Annotated[
        Any,
        BeforeValidator(_checked),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
    ]
    min_visibility: Probability = 0.1
    _idle: list[Any] = PrivateAttr(default_factory=list)

    def resolve(self) -> Any:
        """Return the object of albumentations.

        Raises:
            UserError: albumentations is not installed, or the object cannot be imported or built.
        """
        if isinstance(self.transform, dict):
            return adapted.from_config(self.transform)
        adapted.package()
        if not isinstance(self.transform, str):
            return self.transform
        found = imported(self.transform, "transform")
        if not adapted.is_object(found):
            raise UserError(
                f"{self.transform!r} is not a transform of albumentations",
                rule="an object, such as A.Compose([...])",
                received=type(found).__name__,
                fix=f"{self.transform.rpartition(':')[2]} = A.Compose([A.HorizontalFlip()])",
            )
        return found

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the transformed sample.

        Raises:
            UserError: albumentations is missing, fails, or returns another type of image.
        """
        decoded(self, sample)
        seed = int(rng.integers(2**32))
        # A pipeline has a state, so each thread takes one of its own.
        pipeline = self._idle.pop() if self._idle else adapted.composed(self.resolve())
        pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))  # noqa: S311
        given = Arrays(sample)
        found = self._called(pipeline, given)
        self._idle.append(pipeline)
        if given.is_mirrored(found) and not _can_mirror(sample):
            _LOG.warning(
                "a mirror of albumentations is off: the dataset does not state which keypoints "
                "are left and right; expected pairs of keypoints, such as [[0, 1]]"
            )
            return sample
        return given.sample_of(found, self.min_visibility)

    def _called(self, pipeline: Any, given: Arrays) -> dict[str, Any]:
        arguments = given.arguments()
        try:
            found: dict[str, Any] = pipeline(**arguments)
        except Exception as error:
            image = given.image
            raise UserError(
                f"albumentations cannot transform the sample: {type(error).__name__}: "
                f"{error!s:.300}",
                rule="a transform for its image and annotations",
                received=f"{image.dtype} image of shape {image.shape}, "
                f"{len(given.sample.instances)} objects",
                fix="remove the transform, or the annotations that it does not take",
            ) from error
        given.check(found)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the fields; an object is stored as its `to_dict()` config.

        Raises:
            ConfigError: albumentations cannot describe the object.
        """
        if isinstance(self.transform, str | dict):
            return super().to_dict()
        try:
            return self.replace(transform=self.transform.to_dict()).to_dict()
        except Exception as error:
            raise ConfigError(
                f"the transform of albumentations cannot be saved: {type(error).__name__}: {error}",
                rule="an object whose to_dict() describes it; no Lambda",
                fix='Albumentations(transform="my_package.aug:transform")',
            ) from error

    def __getstate__(self) -> dict[Any, Any]:
        # A worker process builds pipelines of its own.
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {"_idle": []}}


def _can_mirror(sample: Sample) -> bool:
    points = sample.instances.keypoints
    return not isinstance(points, Keypoints) or points.can_mirror or not len(points)
