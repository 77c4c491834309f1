"""`Transform`, `Warp` and `Policy`: base classes of what changes a training sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from pydantic import Field, NonNegativeInt

from visiongarden.config import Typed
from visiongarden.errors import UserError
from visiongarden.samples import Keypoints, Sample, matrices
from visiongarden.transforms.pending import Pending, Tile, checked, size_of
from visiongarden.types import ImageSize

Probability = Annotated[float, Field(ge=0, le=1)]
"""A probability or fraction, 0 to 1."""


class Context(Protocol):
    """What a transform can know about the run and the other images of the epoch.

    Attributes:
        size: (height, width) of the images that the model receives.
        epoch: number of the epoch, from 0.
        epochs: number of epochs of the run.
        capacity: largest number of objects of an image.
        fill: pixel value where there is no image: one for all channels, or one per channel.
    """

    @property
    def size(self) -> ImageSize: ...  # noqa: D102
    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def epochs(self) -> int: ...  # noqa: D102
    @property
    def capacity(self) -> int: ...  # noqa: D102
    @property
    def fill(self) -> tuple[float, ...]: ...  # noqa: D102

    def others(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """Return other samples of the epoch, after the transforms before the one that asks.

        Args:
            count: number of samples.
            rng: random number generator of the transform.
        """
        ...


class Transform(Typed):
    """Base class of transforms; a subclass implements `apply`.

    Transforms are values in an ordered list, in recipes `{type: Name, field: …}`. The arrays of a
    sample are never changed in place, because the decoded image is used again.

    Attributes:
        probability: probability that the transform is applied to a sample.
        skip_last_epochs: number of epochs at the end of the run without this transform.
        random: whether the transform uses random numbers.
        rgb_only: whether it needs uint8 images with three channels.
        images: number of images that one result always combines.
        needs_size: whether `apply` needs images of the context's size; a `Pipeline` resizes them,
            and what `others` returns.
        not_combined: annotations of whole images that cannot be combined with those of other
            images, "labels" or "semantic". A loader refuses the transform for a task that needs
            them, and leaves them out for another one.

    Example:
        >>> @vg.register(package="garden")
        ... class Darken(Transform):
        ...     factor: float = 0.5
        ...
        ...     def apply(self, sample, context, rng):
        ...         image = (sample.image * self.factor).astype(sample.image.dtype)
        ...         return dataclasses.replace(sample, image=image)
        >>> Transform.from_dict({"type": "Darken", "probability": 0.1})
        Darken(probability=0.1, skip_last_epochs=0, factor=0.5)
    """

    random: ClassVar[bool] = True
    rgb_only: ClassVar[bool] = False
    images: ClassVar[int] = 1
    needs_size: ClassVar[bool] = False
    not_combined: ClassVar[frozenset[str]] = frozenset()
    probability: Probability = 1.0
    skip_last_epochs: NonNegativeInt = 0

    def resolve(self) -> Any:
        """Import and check what the transform names; called before a run starts.

        The default resolves the transforms among its fields.

        Raises:
            UserError: what it names is not there.
        """
        for each in self.parts():
            each.resolve()

    def parts(self) -> Iterator[Transform]:
        """Yield the transforms among the fields."""
        for value in dict(self).values():
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Transform):
                    yield each

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the transformed sample; `probability` has been decided by the caller.

        Args:
            sample: sample with a decoded image; its arrays must not be changed.
            context: the run and the other images.
            rng: random number generator of this transform for this sample.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `apply`")


class Warp(Transform):
    """Base class of geometric transforms; a subclass implements `matrix`.

    In a `Pipeline`, the matrices of neighboring warps are multiplied, and pixels are resampled
    once. Alone, `apply` resamples the sample.

    Example:
        >>> @vg.register(package="garden")
        ... class Enlarge(Warp):
        ...     random = False
        ...
        ...     def matrix(self, sample, context, rng):
        ...         height, width = size_of(sample)
        ...         return np.diag([2.0, 2.0, 1.0]), (2 * height, 2 * width)
        >>> info = vg.samples.ImageInfo(1, "cat.jpg", (2, 3))
        >>> sample = vg.samples.Sample(info, np.zeros((2, 3, 1), np.uint8))
        >>> Enlarge().matrix(sample, None, None)[1]
        (4, 6)
    """

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix and the size of the output.

        Args:
            sample: sample whose `instances` are already moved by the warps before; its image is
                not. `size_of(sample)` is the (height, width) of the input.
            context: the run and the other images.
            rng: random number generator of this transform for this sample.

        Returns:
            float (3, 3), from pixels of the input to pixels of the output, where (0, 0) is the
            outer corner of the first pixel; and the (height, width) of the output.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `matrix`")

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Warp image, objects and masks; objects outside the output are removed."""
        pending = Pending.of(sample)
        matrix, size = self.matrix(pending.sample, context, rng)
        pending.warp(_allowed(pending.sample, matrix), size)
        return pending.rendered(context.fill)


class Layout(Transform):
    """Base class of transforms that lay out several images; a subclass implements `tiles`.

    In a `Pipeline`, the images are not rendered before the warps that follow are multiplied.

    Example:
        Two images side by side:

        >>> @vg.register(package="garden")
        ... class Pair(Layout):
        ...     images = 2
        ...
        ...     def tiles(self, sample, context, rng):
        ...         other = context.others(1, rng)[0]
        ...         tiles, x = [], 0
        ...         for each in (sample, other):
        ...             height, width = size_of(each)
        ...             right = np.array([[1, 0, x], [0, 1, 0], [0, 0, 1]])
        ...             tiles.append(Tile(each, (0, 0, width, height), right))
        ...             x += width
        ...         return tiles, (size_of(sample)[0], x)
        >>> info = vg.samples.ImageInfo(1, None, (2, 3))
        >>> images = [np.full((2, 3, 1), i, np.uint8) for i in range(2)]
        >>> samples = [vg.samples.Sample(info, image) for image in images]
        >>> pipeline = vg.transforms.Pipeline(
        ...     [Pair()], samples, size=(2, 6), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).image[0, :, 0].tolist()
        [0, 0, 0, 1, 1, 1]
    """

    not_combined: ClassVar[frozenset[str]] = frozenset({"labels"})

    def tiles(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[list[Tile], ImageSize] | None:
        """Return the tiles and the (height, width) of the canvas, or None to change nothing.

        Args:
            sample: sample with a decoded image; its tile must be the first.
            context: the run and the other images.
            rng: random number generator of this transform for this sample.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `tiles`")

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Render the tiles on one canvas; objects outside it are removed."""
        found = self.tiles(checked(sample), context, rng)
        if found is None:
            return sample
        return Pending.of_tiles(*found, type(self).__name__).rendered(context.fill)


class Policy(Transform):
    """Base class of transforms that choose others at random; a subclass implements `choose`.

    In a `Pipeline`, the chosen transforms take the place of the policy, so that warps among them
    are multiplied with their neighbors.

    Example:
        >>> @vg.register(package="garden")
        ... class AnyOf(Policy):
        ...     transforms: tuple[Transform, ...]
        ...
        ...     def choose(self, rng):
        ...         return [self.transforms[rng.integers(len(self.transforms))]]
    """

    def choose(self, rng: np.random.Generator) -> Sequence[Transform]:
        """Return the transforms to apply, in order."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `choose`")

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Apply the chosen transforms, each with its `probability`."""
        if self.rgb_only and sample.image is not None:
            require_rgb(self, sample.image)
        for transform in self.choose(rng):
            if is_active(transform, context, rng):
                sample = transform.apply(sample, context, rng)
        return sample


def is_active(transform: Transform, context: Context, rng: np.random.Generator) -> bool:
    """Return whether a transform is applied in this epoch, and by its probability."""
    if is_skipped(transform, context):
        return False
    return transform.probability >= 1 or rng.random() < transform.probability


def is_skipped(transform: Transform, context: Context) -> bool:
    """Return whether a transform is off in this epoch, one of the last."""
    skipped = transform.skip_last_epochs
    # A run may also go on for more epochs than were planned.
    return skipped > 0 and context.epoch >= context.epochs - skipped


def unmirrored(sample: Sample, matrix: np.ndarray) -> np.ndarray | None:
    """Return a matrix without the mirror that a sample does not allow; None if it may be applied.

    A mirror exchanges left and right keypoints, which is not possible where their pairs are not
    known. A flip becomes the identity, and any other mirrored matrix is preceded by a flip.
    """
    points = sample.instances.keypoints
    if not isinstance(points, Keypoints) or points.can_mirror or not len(points):
        return None
    matrix = matrices.checked_matrix(matrix)
    if not matrices.mirrors(matrix):
        return None
    height, width = size_of(sample)
    flips = (
        np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], np.float64),
        np.array([[1, 0, 0], [0, -1, height], [0, 0, 1]], np.float64),
    )
    # The one that leaves less of a rotation.
    return max((matrix @ flip for flip in flips), key=lambda m: float(m[0, 0] + m[1, 1]))


def _allowed(sample: Sample, matrix: np.ndarray) -> np.ndarray:
    found = unmirrored(sample, matrix)
    return matrix if found is None else found


def require_rgb(transform: Transform, image: np.ndarray) -> None:
    """Raise a UserError if the transform needs an RGB image and this is another one."""
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return
    name = type(transform).__name__
    channels = image.shape[2] if image.ndim == 3 else 1
    raise UserError(
        f"{name} cannot be applied to this image",
        rule="RGB: uint8 with 3 channels",
        received=f"{image.dtype} with {channels} channel{'' if channels == 1 else 's'}",
        fix=f"remove {name} from the transforms",
    )
