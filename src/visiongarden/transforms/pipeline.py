"""`Pipeline`: apply an ordered list of transforms to the images of an epoch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from visiongarden.config.overrides import as_override
from visiongarden.errors import UserError
from visiongarden.samples import Sample, columns
from visiongarden.transforms.failures import check_pixel_type, named
from visiongarden.transforms.letterbox import Letterbox
from visiongarden.transforms.pending import Pending, checked
from visiongarden.transforms.resizing import Resizing
from visiongarden.transforms.transform import (
    Layout,
    Policy,
    Transform,
    Warp,
    is_active,
    is_skipped,
    require_rgb,
    unmirrored,
)
from visiongarden.transforms.visibility import MIN_SIDE
from visiongarden.types import ImageSize

WINDOW, STEP = 16, 8
"""The other images of a mosaic are at most `WINDOW * STEP` positions away in the order of the
epoch, in steps of `STEP`. An image that was decoded for its own position is then still cached when
a mosaic needs it, and is decoded once instead of four times. The step of 8 makes this hold within
each of two, four or eight worker processes that take positions in turn."""

_LOG = logging.getLogger(__name__)


def warn_of_mirrors() -> None:
    """Log that samples are not mirrored."""
    _LOG.warning(
        "flips are off: the dataset does not state which keypoints are left and right; "
        "expected pairs of keypoints, such as [[0, 1]]"
    )


class Pipeline:
    """Apply an ordered list of transforms; every result is reproducible.

    A sample depends only on the seed, the epoch and its position in the epoch. Each transform has
    random numbers of its own, so that one more at the end of the list leaves the others' numbers
    as they were. Matrices of neighboring `Warp` transforms are multiplied, and pixels are resampled
    once. Finally the sample is resized to `size`, if it has another size.

    Args:
        transforms: transforms in the order in which they are applied.
        samples: samples with decoded images, by their position in the epoch.
        size: (height, width) of the results.
        capacity: largest number of objects of a result.
        epochs: number of epochs of the run.
        seed: seed of all random numbers, at least 0.
        min_visibility: smallest visible fraction of an object that is kept, 0 to 1. It is decided
            once, when pixels are rendered: of objects with a mask by the mask, of others by the
            box. An object whose visible box has a side below 2 pixels is removed too.
        fill: pixel value where there is no image: one, or one per channel; None: that of `resize`,
            else 114.
        resize: warp to `size` for samples of another size; None: `Letterbox`.

    Raises:
        UserError: an argument is not valid.

    Example:
        >>> image = np.zeros((30, 40, 3), np.uint8)
        >>> objects = vg.samples.Instances((30, 40), vg.samples.Boxes([[0, 0, 10, 10]]), [0])
        >>> info = vg.samples.ImageInfo(1, "cat.jpg", (30, 40))
        >>> sample = vg.samples.Sample(info, image, objects)
        >>> pipeline = Pipeline((), [sample], size=(80, 80), capacity=10, epochs=1, seed=0)
        >>> np.asarray(pipeline(0, epoch=0).instances.boxes).tolist()
        [[0.0, 10.0, 20.0, 30.0]]
    """

    def __init__(
        self,
        transforms: Sequence[Transform],
        samples: Sequence[Sample],
        *,
        size: ImageSize,
        capacity: int,
        epochs: int,
        seed: int,
        min_visibility: float = 0.1,
        fill: Sequence[float] | None = None,
        resize: Warp | None = None,
    ) -> None:
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise _no_transform(transform)
        self.transforms, self.samples, self.size = tuple(transforms), samples, size
        self.capacity, self.epochs, self.seed = capacity, epochs, seed
        self.resize = Letterbox() if resize is None else resize
        chosen = self.resize if isinstance(self.resize, Resizing) else Letterbox()
        self.min_visibility = min_visibility
        self.fill = chosen.values if fill is None else tuple(fill)
        self.has_warned = False
        _check("min_visibility", min_visibility, 0 <= min_visibility <= 1, "0 to 1", 0.1)
        _check("seed", seed, seed >= 0, "an integer of at least 0", 0)
        _check("fill", fill, len(self.fill) > 0, "one value, or one per channel", (114,))
        for transform in self.transforms:
            self._check_fill(transform)

    def __call__(self, place: int, epoch: int, size: ImageSize | None = None) -> Sample:
        """Return one transformed sample.

        Args:
            place: position of the sample in the epoch.
            epoch: number of the epoch, from 0.
            size: (height, width) of the result; None: that of the pipeline.

        Raises:
            UserError: a sample is not valid, a transform does not fit it, or there are more objects
                than `capacity`.
        """
        stage = _Stage(self, epoch, size or self.size, place, len(self.transforms), ())
        sample = stage.result(place, resized=True)
        if len(sample.instances) > self.capacity:
            raise self._too_many(f"image {sample.info.id!r}", sample)
        return sample

    def warn_of_mirrors(self) -> None:
        """Log once that samples are not mirrored."""
        if not self.has_warned:
            self.has_warned = True
            warn_of_mirrors()

    def _check_fill(self, transform: Transform) -> None:
        """Refuse a value that the transform would not use: all of them fill with the same."""
        if not isinstance(transform, Resizing) or transform.fill is None:
            return
        if transform.values != self.fill:
            name, fields = type(transform).__name__, {"type": type(self.resize).__name__}
            raise UserError(
                f"{name} has another fill value than the resize of the run",
                rule="one fill value for all transforms, that of model.resize",
                received=f"{list(transform.values)} and {list(self.fill)}",
                fix=as_override("model.resize", fields | {"fill": transform.fill}),
            )

    def _too_many(self, name: str, sample: Sample) -> UserError:
        count = len(sample.instances)
        return UserError(
            f"{name} has more objects than the targets have rows",
            rule=f"at most capacity={self.capacity} objects",
            received=f"{count} objects (image {sample.info.id!r})",
            fix=f"capacity={count}",
        )


@dataclass(slots=True)
class _Stage:
    """The transforms before one position of the list, for one sample; the `Context` of the next.

    `path` distinguishes the random numbers of samples that are made for another sample.
    """

    pipeline: Pipeline
    epoch: int
    size: ImageSize
    place: int
    position: int
    path: tuple[int, ...]

    @property
    def epochs(self) -> int:
        return self.pipeline.epochs

    @property
    def capacity(self) -> int:
        return self.pipeline.capacity

    @property
    def fill(self) -> tuple[float, ...]:
        return self.pipeline.fill

    def others(self, count: int, rng: np.random.Generator) -> list[Sample]:
        """Return other samples after the transforms before this position."""
        transforms = self.pipeline.transforms
        resized = self.position < len(transforms) and transforms[self.position].needs_size
        places = _others(self.place, count, len(self.pipeline.samples), rng)
        if not self.position and not resized:
            return [checked(_protected(self.pipeline.samples[place])) for place in places]
        found = []
        for number, place in enumerate(places):
            path = (*self.path, self.place, self.position, number)
            stage = _Stage(self.pipeline, self.epoch, self.size, place, self.position, path)
            found.append(stage.result(place, resized))
        return found

    def _at(self, place: int, position: int) -> _Stage:
        """Return the stage before another transform."""
        return _Stage(self.pipeline, self.epoch, self.size, place, position, self.path)

    def result(self, place: int, resized: bool) -> Sample:
        """Return a sample after all transforms before this position.

        Args:
            place: position in the epoch.
            resized: whether it must have the size of the pipeline.
        """
        pipeline = self.pipeline
        state = _State(Pending.of(_protected(pipeline.samples[place])))
        for position in range(self.position):
            transform = pipeline.transforms[position]
            if is_skipped(transform, self):
                continue
            stage = self._at(place, position)
            rng = stage.rng(transform)
            if transform.probability >= 1 or rng.random() < transform.probability:
                stage.apply(state, transform, rng)
        if resized:
            self.resize(state)
        return self.rendered(state)

    def rng(self, transform: Transform) -> np.random.Generator:
        """Return the generator of the transform at this position."""
        if not transform.random and transform.probability >= 1:
            # Making a generator takes 15 µs.
            return cast("np.random.Generator", _NotRandom(type(transform).__name__))
        key = (self.pipeline.seed, self.epoch, self.place, self.position)
        # The same numbers as of the tuple; converting that takes a fifth of the time.
        words = np.array(key, np.uint32) if key[0] < 2**32 else key
        return np.random.default_rng(np.random.SeedSequence(words, spawn_key=self.path))

    def apply(self, state: _State, transform: Transform, rng: np.random.Generator) -> None:
        """Apply a transform, or add it to what is pending."""
        if isinstance(transform, Policy):
            image = state.pending.sample.image
            if transform.rgb_only and image is not None:
                require_rgb(transform, image)
            with named(transform, "choose", state.pending.sample):
                found = transform.choose(rng)
            for chosen in found:
                if is_active(chosen, self, rng):
                    self.apply(state, chosen, rng)
        elif isinstance(transform, Warp):
            state.is_random |= transform.random
            self.warp(state, transform, rng)
        elif isinstance(transform, Layout):
            sample = self.rendered(state)
            with named(transform, "tiles", sample):
                tiles = transform.tiles(sample, self, rng)
            if tiles:
                state.is_random = True
                state.pending = Pending.of_tiles(*tiles, type(transform).__name__)
        else:
            self.change(state, transform, rng)

    def warp(self, state: _State, transform: Warp, rng: np.random.Generator) -> None:
        """Add a warp, without its mirror where keypoints do not allow one."""
        name = type(transform).__name__
        with named(transform, "matrix", state.pending.sample):
            found = transform.matrix(state.pending.sample, self, rng)
        if not isinstance(found, tuple) or len(found) != 2:
            raise UserError(
                f"{name}.matrix does not return a matrix and a size",
                rule="(matrix, (height, width))",
                received=type(found).__name__,
                fix="return matrix, size_of(sample)",
            )
        try:
            matrix, size = found
            allowed = unmirrored(state.pending.sample, matrix)
            if allowed is not None:
                self.pipeline.warn_of_mirrors()
                matrix = allowed
            state.pending.warp(matrix, size, self.fill)
        except UserError as error:
            what = f"{name} cannot be applied: {error.what}"
            raise UserError(
                what, rule=error.rule, received=error.received, fix=error.fix
            ) from error

    def resize(self, state: _State) -> None:
        """Add the warp to the size of the pipeline."""
        if state.pending.size != self.size:
            end = self._at(self.place, len(self.pipeline.transforms))
            end.warp(state, self.pipeline.resize, end.rng(self.pipeline.resize))

    def rendered(self, state: _State) -> Sample:
        """Render what is pending."""
        min_side = MIN_SIDE if state.is_random else 0.0
        return state.pending.rendered(self.fill, self.pipeline.min_visibility, min_side)

    def change(self, state: _State, transform: Transform, rng: np.random.Generator) -> None:
        """Apply a transform that needs pixels."""
        if transform.needs_size:
            self.resize(state)
        sample = self.rendered(state)
        assert sample.image is not None  # noqa: S101 checked when it was read
        name = type(transform).__name__
        if transform.rgb_only:
            require_rgb(transform, sample.image)
        with named(transform, "apply", sample):
            changed = transform.apply(sample, self, rng)
        if not isinstance(changed, Sample):
            raise UserError(
                f"{name}.apply does not return a sample",
                rule="a Sample",
                received=type(changed).__name__,
                fix="return dataclasses.replace(sample, image=image)",
            )
        check_pixel_type(transform, sample.image, changed.image)
        if len(changed.instances) > max(self.capacity, len(sample.instances)):
            raise self.pipeline._too_many(name, changed)
        same = changed.instances is sample.instances
        state.pending = Pending.of(changed, state.pending.share if same else None)


@dataclass(slots=True)
class _State:
    """A sample between two transforms.

    Attributes:
        pending: the sample and its warps.
        is_random: whether warps were random; then small remains of objects are removed.
    """

    pending: Pending
    is_random: bool = False


class _NotRandom:
    """In place of the generator of a transform with `random = False`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise UserError(
            f"{self._name} uses random numbers",
            rule="no random numbers in a transform with `random = False`",
            received=f"rng.{attribute}",
            fix="random = True  # in the class",
        )


def _protected(sample: Sample) -> Sample:
    """Return a sample whose arrays cannot be changed in place: they are used again."""
    arrays = {
        "image": sample.image,
        "semantic": sample.semantic,
        "labels": sample.labels,
        "known_classes": sample.known_classes,
    }
    changes: dict[str, Any] = {
        name: columns.read_only(array)
        for name, array in arrays.items()
        if array is not None and array.flags.writeable
    }
    return replace(sample, **changes) if changes else sample


def _others(place: int, count: int, total: int, rng: np.random.Generator) -> list[int]:
    """Sample other positions without repetition; with repetition if there are too few."""
    if total > WINDOW * STEP and count <= WINDOW:
        chosen = (rng.permutation(WINDOW)[:count] + 1) * STEP
        return [(place - int(away)) % total for away in chosen]
    if total <= count:
        return [int(i) for i in rng.integers(0, total, count)]
    return [(place + 1 + int(i)) % total for i in rng.permutation(total - 1)[:count]]


def _no_transform(value: Any) -> UserError:
    is_class = isinstance(value, type)
    return UserError(
        "the list contains something that is not a transform",
        rule="values of classes derived from Transform",
        received=f"the class {value.__name__}" if is_class else repr(value)[:80],
        fix=f"{value.__name__}()" if is_class else "Transform.from_dict({'type': ...})",
    )


def _check(name: str, value: Any, valid: bool, rule: str, default: Any) -> None:
    if not valid:
        raise UserError(
            f"{name} is not valid", rule=rule, received=repr(value), fix=f"{name}={default}"
        )
