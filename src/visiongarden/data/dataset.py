"""`Dataset`: images and annotations of one split, for any task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self, overload, runtime_checkable

import numpy as np

from visiongarden.data.channels import Channels
from visiongarden.data.image_samples import UNKNOWN_SIZE
from visiongarden.data.pixels import to_pixels
from visiongarden.data.rows import NO_SCHEME, KeypointScheme, Row, row_of
from visiongarden.data.sample_checks import check_classes, check_sample
from visiongarden.data.sample_table import SampleTable
from visiongarden.errors import DataError
from visiongarden.samples import RotatedBoxes, Sample
from visiongarden.samples.annotations import Annotations
from visiongarden.terminal import counted
from visiongarden.types import ClassMap, ImageSize, LabelMap


@runtime_checkable
class _WithFields(Protocol):
    """Samples that know which annotations they have."""

    fields: frozenset[str]


@runtime_checkable
class WithMasks(Protocol):
    """Samples whose semantic masks are decoded when they are needed."""

    def semantic(self, index: int, size: ImageSize | None = None) -> np.ndarray:
        """Return the semantic mask of an image, resized to a (height, width) if it is given."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """Samples that are read on demand and know the largest number of objects of an image."""

    max_objects: int


@runtime_checkable
class _Tabular(Protocol):
    """Samples whose annotations are available as arrays."""

    def row(self, index: int) -> Row: ...

    def objects(self) -> np.ndarray: ...


@runtime_checkable
class _Divisible(Protocol):
    """Samples of which a part can be taken."""

    def part(self, indices: Sequence[int]) -> Any: ...


@runtime_checkable
class _Located(Protocol):
    """Samples that know the location of an image without building a sample."""

    def image_path(self, index: int) -> Any: ...


@runtime_checkable
class _Placed(Protocol):
    """Samples that know where they, or their objects, are annotated."""

    def location(self, index: int, row: int | None = None) -> str: ...


@runtime_checkable
class _Counted(Protocol):
    """Samples that know the number of objects or images of each class."""

    def counts(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Dataset:
    """Images and annotations of one split, without pixels; can be pickled for worker processes.

    Attributes:
        class_map: Names of the classes and the ids that the files use for them.
        samples: One sample per image, in a fixed order; images without objects are included.
        split: Name of the split: "train", "val" or "test".
        root: Folder, file or archive from which the split was read.
        dropped: One line per box that was removed on request (`invalid_boxes="drop"`).
        extra: Keys of the annotation file that visiongarden does not use, such as COCO's `info`.
        categories: Unused keys of each class, such as COCO's `supercategory`; empty without any.
        notes: Labels that are not used, or are used in a way that may be unexpected.
        label_map: Meaning of the columns of `Sample.labels`; None if they are the classes.
        channels: Which channels of the image files are read, and in which type.

    Example:
        >>> box = vg.samples.Boxes([[1, 2, 5, 6]])
        >>> sample = vg.samples.Sample(
        ...     vg.samples.ImageInfo(0, "cat.jpg", (8, 9)),
        ...     instances=vg.samples.Instances((8, 9), box, [0]),
        ... )
        >>> vg.data.Dataset(vg.ClassMap(("cat",)), [sample]).counts().tolist()
        [1]
    """

    class_map: ClassMap
    samples: Sequence[Sample]
    split: str = "train"
    root: Any = Path()
    dropped: list[str] = field(default_factory=list)
    extra: Mapping[str, Any] = field(default_factory=dict)
    categories: tuple[Mapping[str, Any], ...] = ()
    notes: list[str] = field(default_factory=list)
    label_map: LabelMap | None = None
    channels: Channels = field(default_factory=Channels)

    def __repr__(self) -> str:
        """Return the split, its number of images and the classes, not every sample."""
        names = ", ".join(self.class_map.names)
        images = counted(len(self.samples), "image")
        return f"Dataset({str(self.root)!r}, {self.split}: {images}; {names:.80})"

    @classmethod
    def of_rows(
        cls,
        class_map: ClassMap,
        rows: Iterable[Row],
        located: Callable[[str], Any] = Path,
        scheme: KeypointScheme = NO_SCHEME,
        **attributes: Any,
    ) -> Self:
        """Return the dataset of rows, stored as a table.

        Args:
            class_map: Names of the classes.
            rows: One row per image, in a fixed order.
            located: Function from the text of a location to a path, a member or a record.
            scheme: Meaning of the keypoints.
            **attributes: Further attributes of the dataset.
        """
        return cls(class_map, SampleTable.of(rows, class_map, located, scheme), **attributes)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def fields(self) -> frozenset[str]:
        """Annotations that the samples have.

        Names of: "boxes", "rotated" (boxes), "masks", "keypoints", "labels", "semantic".
        """
        if isinstance(self.samples, _WithFields):
            return self.samples.fields
        if isinstance(self.samples, (list, tuple)):
            return frozenset().union(*map(_fields, self.samples))
        # Samples that are read on demand are all alike.
        return _fields(self.samples[0]) if len(self.samples) else frozenset()

    @property
    def scheme(self) -> KeypointScheme:
        """Meaning of the keypoints; `NO_SCHEME` without any."""
        if isinstance(self.samples, SampleTable):
            return self.samples.scheme
        for sample in self.samples:
            points = sample.instances.keypoints
            if points is not None:
                return KeypointScheme(points.names, points.pairs, points.skeleton)
            if not isinstance(self.samples, (list, tuple)):
                break  # samples that are read on demand are all alike
        return NO_SCHEME

    def counts(self) -> np.ndarray:
        """Return int64 (classes,): the number of objects, or of images, of each class.

        Crowd regions count as one object each. Labels count where they are 1.
        """
        if isinstance(self.samples, SampleTable) and self.label_map is None:
            labels = self.samples.arrays["labels"]
            counts = self.samples.counts()
            return counts + (labels == 1).sum(axis=0) if labels.shape[1] == len(counts) else counts
        if isinstance(self.samples, _Counted):
            return self.samples.counts()
        total = np.zeros(len(self.class_map), np.int64)
        for index, sample in enumerate(self.samples):
            if sample.instances.classes is not None:
                check_classes(sample.instances.classes, self.class_map, _name(index, sample))
                total += np.bincount(sample.instances.classes, minlength=len(total))
            elif sample.labels is not None and self.label_map is None:
                total += sample.labels == 1
        return total

    def objects(self) -> np.ndarray:
        """Return int64 (images,): the number of objects of each image.

        Samples that are read on demand give an upper bound; counting would load each of them.
        """
        if isinstance(self.samples, _Tabular):
            return self.samples.objects()
        if isinstance(self.samples, Bounded):
            return np.full(len(self), self.samples.max_objects)
        return np.array([len(sample.instances) for sample in self.samples], np.int64)

    def row(self, index: int) -> Row:
        """Return the annotations of one image as plain arrays."""
        if isinstance(self.samples, _Tabular):
            return self.samples.row(index)
        return row_of(self.samples[index])

    def rows(self) -> Iterator[Row]:
        """Iterate over the annotations of all images as plain arrays."""
        return map(self.row, range(len(self)))

    def with_rows(self, rows: Iterable[Row]) -> Self:
        """Return the dataset with other rows, such as those that a fix has changed."""
        table = self.samples
        located: Any = table.located if isinstance(table, SampleTable) else Path
        return replace(self, samples=SampleTable.of(rows, self.class_map, located, self.scheme))

    def with_channels(self, channels: Channels | str | Sequence[str]) -> Self:
        """Return the dataset with other channels of its images.

        If each channel is a file, the images are the files of the first channel.

        Raises:
            ConfigError: The channels are not valid.
            DataError: A channel of an image is missing, or has two files.
        """
        chosen = Channels.of(channels)
        found = replace(self, channels=chosen)
        if not chosen.parts:
            return found
        paths = [self.image_path(i) for i in range(len(self))]
        kept = set(map(str, chosen.images(paths)))
        return found.part([i for i, path in enumerate(paths) if str(path) in kept])

    def part(self, indices: Sequence[int]) -> Self:
        """Return the dataset of the images at `indices`."""
        if isinstance(self.samples, (list, tuple)):
            return replace(self, samples=[self.samples[i] for i in indices])
        if isinstance(self.samples, _Divisible):
            return replace(self, samples=self.samples.part(indices))
        return self.with_rows(self.row(i) for i in indices)

    def image_path(self, index: int) -> Any:
        """Return the location of an image: a path, an archive member or a record."""
        if isinstance(self.samples, _Located):
            return self.samples.image_path(index)
        return self.samples[index].info.source

    def location(self, index: int, row: int | None = None) -> str:
        """Return where an image, or one of its objects, is annotated: "a.txt:3", if it is known."""
        if isinstance(self.samples, _Placed):
            return self.samples.location(index, row)
        lines = self.row(index).lines if row is not None else None
        if row is not None and lines is not None:
            return lines.at(row)
        place = str(self.image_path(index))
        return place if row is None else f"{place}: object {row + 1}"

    def annotated(self, index: int) -> Sample:
        """Return a sample with its semantic mask, if it has one, and without its image.

        Raises:
            DataError: The mask cannot be decoded.
        """
        sample = replace(self.samples[index])
        if sample.semantic is None and isinstance(self.samples, WithMasks):
            sample.semantic = self.samples.semantic(index)
        return sample

    def load(self, index: int, min_size: ImageSize | None = None) -> Sample:
        """Return a sample with its decoded image and semantic mask.

        Annotations remain in pixels of the full-size image.

        Args:
            index: Index of the sample.
            min_size: (height, width) of the canvas. A JPEG that is much larger is decoded at a
                reduced size, see `decode`.

        Raises:
            DataError: A file cannot be decoded, or its size differs from the one found when the
                dataset was read.
        """
        # A copy: the samples may be a list, and are not changed.
        sample = replace(self.samples[index])
        if not isinstance(self.samples, SampleTable):  # its rows are from a reader
            check_sample(sample, self.class_map, _name(index, sample))
        if sample.image is not None:
            if not _is_stored(sample.image, self.channels):
                sample.image = to_pixels(sample.image, name=f"the image of sample {index}")
            _check_size(sample, f"the image of sample {index}", (1,))
        elif sample.info.source is not None:
            sample.image = self.channels.decode(sample.info.source, min_size)
            # libjpeg rounds the sides of a reduced image up.
            _check_size(sample, sample.info.source, (1,) if min_size is None else (1, 2, 4, 8))
        image = sample.image
        if image is not None and tuple(sample.info.original_size) == UNKNOWN_SIZE:
            size = (image.shape[0], image.shape[1])
            sample.info = replace(sample.info, original_size=size)
        if sample.semantic is None and image is not None and isinstance(self.samples, WithMasks):
            sample.semantic = self.samples.semantic(index, (image.shape[0], image.shape[1]))
        return sample


def _name(index: int, sample: Sample) -> str:
    """Return the name of a sample in errors."""
    source = sample.info.source
    return f"sample {index}" if source is None else f"sample {index} ({source})"


def _is_stored(image: np.ndarray, channels: Channels) -> bool:
    """Return whether pixels in memory are used as they are, and not converted to 8-bit RGB."""
    if channels.value == "auto":
        return image.ndim == 3 and image.shape[2] not in (1, 3, 4)
    return channels.value != "rgb"


def _fields(sample: Sample) -> frozenset[str]:
    found = sample.instances
    names = {
        "rotated": isinstance(found.boxes, RotatedBoxes),
        "boxes": found.boxes is not None,
        "masks": found.masks is not None,
        "keypoints": found.keypoints is not None,
        "labels": sample.labels is not None,
        "semantic": sample.semantic is not None,
    }
    return frozenset(name for name, is_there in names.items() if is_there)


def _check_size(sample: Sample, name: Any, divisors: Sequence[int]) -> None:
    """Compare the size of an image with the one to which its annotations refer."""
    height, width = sample.info.original_size
    if (height, width) == UNKNOWN_SIZE:
        return
    image = np.asarray(sample.image)
    sizes = [(-(-height // times), -(-width // times)) for times in divisors]
    if image.shape[:2] not in sizes:
        is_file = sample.info.source is not None and sample.info.source is name
        raise DataError(
            f"{name}: the image has {image.shape[1]} × {image.shape[0]} pixels",
            rule=f"{width} × {height}, "
            + ("its size when the labels were read" if is_file else "its `info.original_size`"),
            fix="read the dataset again" if is_file else "original_size=image.shape[:2]",
        )


def crowds_of(dataset: Dataset) -> np.ndarray | None:
    """Return bool (objects,): which objects of a split are crowd regions.

    None if the samples are read on demand, so that each of them would have to be loaded.
    """
    if isinstance(dataset.samples, SampleTable):
        return dataset.samples.arrays["crowd"]
    if not isinstance(dataset.samples, (list, tuple)):
        return None
    return np.concatenate([*(row.crowd for row in dataset.rows()), np.zeros(0, bool)])


def as_dataset(annotations: Annotations, split: str) -> Dataset:
    """Return annotations of any class as a `Dataset`, whose samples are read when they are needed.

    Args:
        annotations: A `Dataset`, which is returned as it is, or another implementation.
        split: Name of the split.
    """
    if isinstance(annotations, Dataset):
        return annotations
    samples = _Samples(annotations)
    return Dataset(annotations.class_map, samples, split, label_map=annotations.label_map)


class _Samples(Sequence[Sample]):
    """Samples of annotations that are not a `Dataset`."""

    def __init__(self, annotations: Annotations, order: Sequence[int] | None = None) -> None:
        self.annotations = annotations
        self.order = range(len(annotations)) if order is None else order

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.annotations[self.order[index]]

    def part(self, indices: Sequence[int]) -> _Samples:
        """Return the samples at `indices`."""
        return _Samples(self.annotations, [self.order[i] for i in indices])

    def location(self, index: int, row: int | None = None) -> str:
        """Return where a sample, or one of its objects, is annotated."""
        return self.annotations.location(self.order[index], row)
