"""`Loader`: batches of a dataset, independent of the number of workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import cv2
import numpy as np

from visiongarden.data.batches import as_tf_data
from visiongarden.data.dataset import Dataset
from visiongarden.data.decoded import DecodedSamples, Detail, InOrder, noted_skips
from visiongarden.data.grain_batches import grain_batches
from visiongarden.data.shares import WHOLE, Share
from visiongarden.data.targets import targets_of
from visiongarden.errors import UserError
from visiongarden.samples import Batch, BatchInfo, Sample
from visiongarden.samples.resizing import resize_mask
from visiongarden.transforms import (
    HorizontalFlip,
    Letterbox,
    Pipeline,
    Resizing,
    Transform,
    VerticalFlip,
)
from visiongarden.transforms.pipeline import STEP, WINDOW, warn_of_mirrors
from visiongarden.transforms.sizes import size_of_batch, sizes_of
from visiongarden.types import IGNORE, ImageSize, Placement

Targets: TypeAlias = Callable[[Sample, int], dict[str, np.ndarray]]
"""Function from a sample on its canvas, and the capacity, to arrays by name."""

_HERE = Placement((1.0, 1.0), (0.0, 0.0))
_NO_END = 2**31
"""Number of epochs of a run without a known end: no transform is in its last epochs."""

_WORDS = {"labels": "labels of whole images", "semantic": "semantic masks"}
_COMBINED = {
    "labels": "keep one image, or blend labels as MixUp and CutMix do",
    "semantic": "give each pixel one class, as Mosaic and CutMix do",
}


@runtime_checkable
class _Sampled(Protocol):
    """Datasets that choose the images of an epoch themselves, such as weighted ones."""

    @property
    def images_per_epoch(self) -> int: ...

    def sampled(self, random: np.random.Generator) -> np.ndarray: ...


class Loader:
    """Batches of one split, read, decoded and transformed ahead of the model by Grain.

    Every image of an epoch is a function of the seed, the epoch and its position in the epoch.
    Order and transforms are therefore the same for any number of workers, and an interrupted run
    can be resumed at any batch.

    Without `transforms`, as for evaluation, each image is resized and keeps all its objects. With
    `transforms`, also with an empty list, objects that leave the view are removed, and crowd
    regions are left out. Iterating over the loader yields one epoch of `(images, targets)` as Keras
    takes them, another one each time.

    Args:
        dataset: The split to read.
        image_size: (height, width) of the images of a batch, in pixels. With `multi_scale` it is
            the middle of `sizes`; each batch has one of them.
        batch_size: Number of images per batch.
        transforms: Transforms of training images, in order; None for evaluation.
        shuffle: Whether to shuffle the images in each epoch.
        seed: Seed of the order and of the transforms.
        workers: Number of worker processes; 0 reads in threads of this process.
        drop_remainder: Whether to drop the last batch if it is incomplete.
        capacity: Number of objects that a batch reserves per image. By default the maximum that can
            occur in one image, or in as many as a transform always combines.
        size_step: Largest stride of the model; with `multi_scale` all sizes are multiples of it.
        multi_scale: Largest change of the image size between batches, as a fraction of it.
        min_visibility: Smallest visible fraction of an object that is kept by the transforms.
        resize: How images are brought to the size of the canvas; its `fill` is also the value of
            pixels without an image in `transforms`.
        detail: Size at which decoded images are kept for training, relative to the canvas.
        targets: Function from a sample and the capacity to arrays; by default all annotations.
        needs: Annotations that the targets need, in the names of `Dataset.fields`; None: all.
            Labels or masks of whole images that they do not need are left out where a transform,
            such as `Mosaic`, cannot combine them.
        broken_images: What happens to an image that cannot be decoded: "error" ends the epoch, and
            with "skip" the next image of the dataset takes its place (`BatchInfo.skipped`).
        local_processes: Number of processes on this host that read the dataset, and share the
            memory for decoded images.

    Raises:
        UserError: `capacity` is smaller than the number of objects that can occur in one image
            (objects are never cut off silently), `image_size` does not allow `multi_scale`, a
            transform combines images whose labels or masks it cannot combine, or what a transform
            names, such as a function, is not there.

    Example:
        >>> loader = Loader(read("coco128", split="val"), image_size=(640, 640), batch_size=16)
        >>> for batch in loader.epoch(0):
        ...     batch.images  # uint8 (16, 640, 640, 3)
        ...     batch.targets["boxes"]  # float32 (16, capacity, 4), xyxy, pixels of `images`
    """

    def __init__(
        self,
        dataset: Dataset,
        image_size: ImageSize,
        batch_size: int,
        transforms: Sequence[Transform] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 0,
        drop_remainder: bool = False,
        capacity: int | None = None,
        size_step: int = 32,
        multi_scale: float = 0.0,
        min_visibility: float = 0.1,
        resize: Resizing = Letterbox(),  # noqa: B008  frozen
        detail: float = 1.0,
        targets: Targets = targets_of,
        needs: Collection[str] | None = None,
        broken_images: Literal["error", "skip"] = "error",
        local_processes: int = 1,
    ) -> None:
        if not isinstance(image_size, tuple | list) or len(image_size) != 2:
            side = image_size if isinstance(image_size, int) else 320
            raise UserError(
                "the image size of the loader is not valid",
                rule="(height, width) in pixels",
                received=f"{image_size!r:.80}",
                fix=f"image_size=({side}, {side})",
            )
        self.dataset, self.image_size, self.batch_size = dataset, image_size, batch_size
        self.transforms = None if transforms is None else tuple(transforms)
        for transform in self.transforms or ():
            transform.resolve()
        self.shuffle, self.seed, self.min_visibility = shuffle, seed, min_visibility
        self.workers, self.drop_remainder = workers, drop_remainder
        self.resize, self.targets = resize, targets
        needed = _capacity(dataset, self.transforms or ())
        if capacity is not None and capacity < needed:
            raise UserError(
                f"capacity={capacity} is too small for this dataset",
                rule=f"at least {needed}, the maximum number of objects in one image of a batch",
                fix=f"capacity={needed}",
            )
        self.capacity = capacity or needed
        self.sizes = sizes_of(image_size, multi_scale if transforms is not None else 0, size_step)
        training = transforms is not None
        # An image that is decoded at a reduced size still fills the canvas along one side only.
        quick = training and detail == 1 and isinstance(resize, Letterbox)
        kept = Detail(detail, resize, quick)
        # A mosaic's other images are at most WINDOW * STEP positions away: with this many cached,
        # each image is decoded once instead of four times.
        recent = WINDOW * STEP + 32 if training else 0
        self.samples = DecodedSamples(
            dataset,
            self.sizes[-1],
            kept,
            max(workers, 1) * local_processes,
            recent,
            broken_images == "skip",
            _left_out(dataset, self.transforms or (), needs),
        )
        # Here, and not by the pipeline of each epoch in each worker process.
        self.has_warned = _are_off(dataset, self.transforms or ())
        if self.has_warned:
            warn_of_mirrors()
        self._next = 0

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        count = self.images_per_epoch
        return count // self.batch_size if self.drop_remainder else -(-count // self.batch_size)

    @property
    def images_per_epoch(self) -> int:
        """Number of images per epoch; a dataset with weights may show an image several times."""
        if self.shuffle and isinstance(self.dataset, _Sampled):
            return self.dataset.images_per_epoch
        return len(self.dataset)

    def to_tf_data(self) -> Any:
        """Return the batches as a `tf.data.Dataset` of `(images, targets)`.

        The shapes are static, except for the number of images of a last batch that is not full, and
        for the image size with `multi_scale`. Iterating the dataset for the k-th time yields epoch
        k of the loader, so the batches do not depend on what else the loader was used for. They are
        read in the process that iterates.

        Raises:
            UserError: TensorFlow is not installed, or the loader has no batch.
            DataError: An image of the first batch cannot be decoded.
        """
        return as_tf_data(self)

    def __iter__(self) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        number, self._next = self._next, self._next + 1
        return ((batch.images, batch.targets) for batch in self.epoch(number))

    def epoch(
        self, number: int, epochs: int | None = None, share: Share = WHOLE, first: int = 0
    ) -> Iterator[Batch]:
        """Iterate over the batches of one epoch.

        Args:
            number: Number of the epoch, from 0.
            epochs: Number of epochs of the run, which switches off transforms near its end; None
                if it is not known.
            share: The images that this process reads, of those of several.
            first: Number of the first batch of this process that is read, from 0; those before it
                are not decoded.

        Raises:
            DataError: An image cannot be decoded.
        """
        # OpenCV's own thread pool would compete with the reading threads for the same cores.
        cv2.setNumThreads(1)
        return grain_batches(
            _Epoch(self, number, epochs, share, first),
            _collated,
            share.size(self.batch_size),
            self.drop_remainder,
            self.workers,
        )

    def indices(self, number: int, batch: int) -> np.ndarray:
        """Return the indices in the dataset of the images of a batch, in order.

        A transform may combine them with other images.

        Args:
            number: Number of the epoch, from 0.
            batch: Number of the batch in the epoch, from 0.
        """
        first = batch * self.batch_size
        return _order(self, number)[first : first + self.batch_size]

    def sample(self, place: int, number: int = 0, epochs: int | None = None) -> Sample:
        """Return one sample of an epoch as the model receives it.

        Args:
            place: Position of the image in the order of the epoch.
            number: Number of the epoch, from 0.
            epochs: Number of epochs of the run; None if it is not known.

        Raises:
            DataError: An image cannot be decoded.
        """
        return _Epoch(self, number, epochs, WHOLE).sample(place)[0]


class _Epoch:
    """Random access to the arrays of one epoch's samples, as a Grain data source."""

    def __init__(
        self, loader: Loader, number: int, epochs: int | None, share: Share, first: int = 0
    ) -> None:
        self.loader, self.number = loader, number
        self.order = _order(loader, number)
        # Grain's own shards would lose images at the end of the epoch.
        places = share.places(len(self.order), loader.batch_size)
        self.places = places[first * share.size(loader.batch_size) :]
        self.pipeline: Pipeline | None = None
        if loader.transforms is not None:
            self.pipeline = Pipeline(
                loader.transforms,
                InOrder(loader.samples, self.order),
                size=loader.sizes[-1],
                capacity=loader.capacity,
                epochs=_NO_END if epochs is None else epochs,
                seed=loader.seed,
                min_visibility=loader.min_visibility,
                fill=loader.resize.values,
                resize=loader.resize,
            )
            self.pipeline.has_warned = loader.has_warned

    def __len__(self) -> int:
        return len(self.places)

    def sample(self, place: int) -> tuple[Sample, Placement]:
        """Return a sample on its canvas, and the placement of the original image on it."""
        loader = self.loader
        if self.pipeline is None:
            return placed(loader.samples[int(self.order[place])], loader.image_size, loader.resize)
        batch = place // loader.batch_size
        size = size_of_batch(loader.sizes, loader.seed, self.number, batch)
        sample = self.pipeline(place, self.number, size)
        crowd = sample.instances.crowd
        # Losses do not use crowd regions; evaluation needs them, as COCO ignores matches with them.
        if crowd is not None and crowd.any():
            sample = replace(sample, instances=sample.instances[~crowd])
        return sample, _HERE

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        with noted_skips() as skipped:
            sample, placement = self.sample(int(self.places[index]))
        targets = self.loader.targets(sample, self.loader.capacity)
        if self.pipeline is not None:
            targets.pop("crowd", None)
        return sample.image, targets, sample.info, placement, skipped


def _order(loader: Loader, number: int) -> np.ndarray:
    """Return the indices of the images in the order of an epoch."""
    random = np.random.default_rng((loader.seed, number))
    if loader.shuffle and isinstance(loader.dataset, _Sampled):
        return loader.dataset.sampled(random)
    count = len(loader.dataset)
    return random.permutation(count) if loader.shuffle else np.arange(count)


def placed(sample: Sample, size: ImageSize, resize: Resizing) -> tuple[Sample, Placement]:
    """Resize a decoded sample to a canvas without changing its content.

    Args:
        sample: Sample with a decoded image; `info.placement` leads from the original to it.
        size: (height, width) of the canvas.
        resize: How the image is brought to the canvas.

    Returns:
        The sample on the canvas, and the placement of the original image on it.
    """
    image = np.asarray(sample.image)
    canvas, placement = resize.place(image, size)
    (sx, sy), (x, y) = placement.scale, placement.offset
    matrix = np.array([[sx, 0, x], [0, sy, y], [0, 0, 1]])
    (kx, _, _), (_, ky, _), _ = sample.info.placement.tolist()
    semantic = sample.semantic
    if semantic is not None:
        semantic = _placed_mask(semantic, size, placement)
    result = replace(
        sample, image=canvas, semantic=semantic, instances=sample.instances.move(matrix, size)
    )
    # The caller maps results back to the original image, so both scales are combined into one.
    return result, Placement((sx * kx, sy * ky), (x, y))


def _placed_mask(mask: np.ndarray, size: ImageSize, placement: Placement) -> np.ndarray:
    left, top = (round(v) for v in placement.offset)
    rows, columns = (
        round(side * s) for side, s in zip(mask.shape, placement.scale[::-1], strict=True)
    )
    resized = resize_mask(mask, (rows, columns))
    target = np.full(size, IGNORE, mask.dtype)
    shown = resized[max(-top, 0) : max(-top, 0) + size[0], max(-left, 0) : max(-left, 0) + size[1]]
    top, left = max(top, 0), max(left, 0)
    target[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return target


def _collated(rows: Sequence[tuple[Any, ...]]) -> Batch:
    """Stack samples into a `Batch`."""
    images, targets, infos, places, skipped = zip(*rows, strict=True)
    return Batch(
        np.stack(images),
        {name: np.stack([each[name] for each in targets]) for name in targets[0]},
        BatchInfo(
            ids=np.array([info.id for info in infos]),
            sizes=np.array([info.original_size for info in infos], np.int32),
            scales=np.array([place.scale for place in places], np.float32),
            offsets=np.array([place.offset for place in places], np.float32),
            skipped=tuple(line for lines in skipped for line in lines),
        ),
    )


def _are_off(dataset: Dataset, transforms: Sequence[Transform]) -> bool:
    """Return whether flips are off, because it is not known which keypoints they exchange."""
    flips = any(isinstance(t, HorizontalFlip | VerticalFlip) for t in transforms)
    return flips and "keypoints" in dataset.fields and dataset.scheme.pairs is None


def _left_out(
    dataset: Dataset, transforms: Iterable[Transform], needs: Collection[str] | None
) -> set[str]:
    """Return the annotations of whole images that a transform cannot combine, and no target needs.

    Raises:
        UserError: A target needs them.
    """
    found: set[str] = set()
    for transform in transforms:
        if not transform.probability:
            continue
        mixed = transform.not_combined & dataset.fields
        needed = sorted(mixed if needs is None else mixed & set(needs))
        if needed:
            name = type(transform).__name__
            raise UserError(
                f"{name} combines several images, but not their {_WORDS[needed[0]]}",
                rule=f"transforms that {_COMBINED[needed[0]]}",
                received=f"{name} for a dataset with {_WORDS[needed[0]]}",
                fix=f"remove {name} from the transforms, or replace it by CutMix",
            )
        found |= mixed | _left_out(dataset, transform.parts(), needs)
    return found


def _capacity(dataset: Dataset, transforms: Sequence[Transform]) -> int:
    """Return the maximum number of objects in one image, or in the images that are combined."""
    counts = np.sort(dataset.objects())[::-1]
    if not len(counts):
        return 1
    images = max((t.images for t in transforms if t.probability), default=1)
    # The images of a mosaic differ, unless the dataset has fewer.
    total = counts[:images].sum() if len(counts) >= images else images * counts[0]
    return max(int(total), 1)
