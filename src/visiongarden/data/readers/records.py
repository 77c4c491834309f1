"""Datasets whose images are stored in records, as TensorFlow Datasets and Arrow files do."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.image_samples import UNKNOWN_SIZE, ClassSamples
from visiongarden.data.readers.build import Label, row
from visiongarden.data.readers.reader import Source
from visiongarden.data.rows import Row
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.errors import DataError, UserError
from visiongarden.storage.header import MAX_BYTES, header_of_bytes
from visiongarden.types import ClassMap

_SHOWN = 80


class Store(Protocol):
    """Where the records of a split are; hashable, and picklable for worker processes."""

    def __str__(self) -> str: ...

    @property
    def split(self) -> str:
        """Name of the split."""
        ...

    def open(self) -> Any:
        """Return a sequence of mappings, in which images are encoded."""
        ...

    def image(self, value: Any, where: str) -> bytes:
        """Return the bytes of the image file in a record's field."""
        ...


@dataclass(frozen=True)
class StoredImage:
    """An image in a record; used where other formats have a path.

    Attributes:
        store: Where the records are.
        index: Number of the record.
        column: Name of the field with the image.
    """

    store: Any
    index: int
    column: str

    def __str__(self) -> str:
        return f"{self.store}#{self.column}#{self.index}"

    @property
    def name(self) -> str:
        """Return the name of the split and the number of the record."""
        return f"{self.store.split}-{self.index}"

    stem = name
    suffix = ""

    def read(self, max_bytes: int) -> bytes:
        """Read the bytes of the image file.

        Raises:
            DataError: The record cannot be read, or the image is larger than `max_bytes` bytes.
        """
        raw: bytes = self.store.image(record(self.store, self.index).get(self.column), str(self))
        if len(raw) > max_bytes:
            raise DataError(f"{self}: the image is larger than {max_bytes:,} bytes")
        return raw


@dataclass(frozen=True)
class ImagesOf:
    """Function from the text of an image's location to the image."""

    store: Any
    column: str

    def __call__(self, text: str) -> StoredImage:
        """Return the image of a location's text."""
        return StoredImage(self.store, int(text.rpartition("#")[2]), self.column)


class ImagesOfSplits:
    """Function from the text of an image's location in any split to the image.

    Args:
        store_of: Function from the name of a split to its store.
    """

    def __init__(self, store_of: Callable[[str], Store]) -> None:
        self._store_of = store_of
        self._stores: dict[str, Store] = {}

    def __call__(self, text: str) -> StoredImage:
        """Return the image of a location's text."""
        store, column, index = text.rsplit("#", 2)
        split = store.rpartition("#")[2]
        if split not in self._stores:
            self._stores[split] = self._store_of(split)
        return StoredImage(self._stores[split], int(index), column)


@dataclass(frozen=True)
class Objects:
    """Objects of one record.

    Attributes:
        boxes: float (n, 4), xyxy, in pixels or, if `are_shares`, in fractions of the image.
        classes: Class index of each object.
        crowd: Whether each object is a crowd region.
        are_shares: Whether boxes are fractions of the image's width and height.
    """

    boxes: np.ndarray
    classes: Sequence[Any]
    crowd: Sequence[bool] = ()
    are_shares: bool = False


def opened(store: Store) -> Any:
    """Return the records of a store; they are opened once in each process."""
    key: Any = store
    return _opened(key, os.getpid())


def forget() -> None:
    """Open all records again when they are needed: their files may have changed."""
    _opened.cache_clear()


@functools.lru_cache(maxsize=8)
def _opened(store: Any, process: int) -> Any:
    # Open files are not shared with forked processes, which would move each other's positions.
    return store.open()


def record(store: Store, index: int) -> Mapping[str, Any]:
    """Return one record.

    Raises:
        DataError: It cannot be read.
    """
    try:
        found = opened(store)[index]
    except UserError:
        raise
    except Exception as error:  # of another library, whose files may be damaged
        raise DataError(
            f"{store}: record {index} cannot be read",
            received=f"{type(error).__name__}: {error!s:.200}",
        ) from error
    if not isinstance(found, Mapping):
        raise DataError(
            f"{store}: record {index} is not a mapping", received=f"{found!r:.{_SHOWN}}"
        )
    return found


def included(store: Store, column: str, source: Source) -> Iterator[StoredImage]:
    """Yield the images of the split that is read, which may be a part of the store's."""
    for index in range(len(opened(store))):
        place = StoredImage(store, index, column)
        if source.errors.includes(place):
            yield place


def with_objects(
    store: Store, column: str, class_map: ClassMap, objects_of: Any, source: Source
) -> Dataset:
    """Return a detection dataset.

    Args:
        store: Where the records are.
        column: Name of the field with the image.
        class_map: Names of the classes.
        objects_of: Function from a record and its location in messages to `Objects`.
        source: Dataset that is read; errors are added to its collector.
    """
    rows = []
    for place in included(store, column, source):
        try:
            found = record(store, place.index)
            raw = store.image(found.get(column), str(place))
            size = header_of_bytes(raw[:MAX_BYTES], place).size
            objects = objects_of(found, str(place))
        except DataError as error:
            source.errors.add_error(error, "record")
            continue
        rows.append(_row(place, size, objects, class_map, source))
    return Dataset.of_rows(
        class_map, rows, ImagesOf(store, column), split=store.split, root=source.root
    )


def _row(
    place: StoredImage, size: tuple[int, int], objects: Objects, class_map: ClassMap, source: Source
) -> Row:
    boxes = np.asarray(objects.boxes, np.float64).reshape(-1, 4)
    if objects.are_shares:
        boxes = boxes * np.array((size[1], size[0], size[1], size[0]), np.float64)
    labels = []
    crowd = objects.crowd or [False] * len(boxes)
    for number, (box, index, is_crowd) in enumerate(
        zip(boxes.tolist(), objects.classes, crowd, strict=True)
    ):
        where = f"{place}: object {number + 1}"
        if not 0 <= index < len(class_map):
            what = f"class {index} is outside the class map of {len(class_map)} classes"
            source.errors.add(where, what, "id")
            continue
        labels.append(Label(where, box, int(index), bool(is_crowd)))
    return row(place, size, labels, source.errors, len(boxes))


def with_classes(
    store: Store, column: str, class_map: ClassMap, labels: Iterator[Any], source: Source
) -> Dataset:
    """Return a classification dataset.

    Args:
        store: Where the records are.
        column: Name of the field with the image.
        class_map: Names of the classes.
        labels: The label of each record: an index, -1 or None if it is unknown, or a list of
            indices if an image has several classes.
        source: Dataset that is read; errors are added to its collector.
    """
    count = len(class_map)
    places, found = [], []
    for index, label in enumerate(labels):
        place = StoredImage(store, index, column)
        if not source.errors.includes(place):
            continue
        several = isinstance(label, list | tuple | np.ndarray)
        numbers = [-1 if label is None else label] if not several else list(label)
        if any(not -1 <= number < count for number in numbers):
            what = f"label {label!r:.{_SHOWN}} is outside the class map of {count} classes"
            source.errors.add(place, what, "id")
            continue
        places.append(place)
        found.append((several, [int(number) for number in numbers]))
    is_plain = not any(several or numbers[0] < 0 for several, numbers in found)
    split, root = store.split, source.root
    if is_plain:
        samples = ClassSamples(class_map, tuple(places), tuple(numbers[0] for _, numbers in found))
        return Dataset(class_map, samples, split=split, root=root)
    rows = [
        _labeled(place, numbers, count) for place, (_, numbers) in zip(places, found, strict=True)
    ]
    return Dataset.of_rows(class_map, rows, ImagesOf(store, column), split=split, root=root)


def _labeled(place: StoredImage, numbers: Sequence[int], count: int) -> Row:
    """Return the row of an image with labels; all are unknown if one of its numbers is -1."""
    labels = np.full(count, np.nan, np.float32)
    if -1 not in numbers:
        labels[:] = 0
        labels[list(numbers)] = 1
    none = np.zeros(0)
    return Row(
        place,
        UNKNOWN_SIZE,
        none.reshape(0, 4).astype(np.float32),
        none.astype(np.int32),
        none.astype(bool),
        labels=labels,
    )


def with_masks(
    store: Store, columns: tuple[str, str], class_map: ClassMap, source: Source
) -> Dataset:
    """Return a segmentation dataset, whose masks are decoded when they are needed.

    Args:
        store: Where the records are.
        columns: Names of the fields with the image and with its mask.
        class_map: Names of the classes; the values of the masks are their indices.
        source: Dataset that is read.
    """
    image, mask = columns
    places = tuple(included(store, image, source))
    masks = tuple(StoredImage(store, place.index, mask) for place in places)
    samples = SemanticSamples(class_map, places, masks)
    return Dataset(class_map, samples, split=store.split, root=source.root)


def class_map_of(
    names: Sequence[str] | None, source: Source, where: str, count: int | None = None
) -> ClassMap:
    """Return the class map of the names in the files, or else of the given names.

    Raises:
        DataError: There are no names.
    """
    found = names or source.class_names
    if not found:
        raise DataError(
            f"{where} has no class names",
            rule="a feature with the names of its classes, or class_names",
            fix=f'class_names=["cat", "dog"]{f", {count} names" if count else ""}',
        )
    return ClassMap(tuple(map(str, found)))


def one_of(
    candidates: Sequence[str], given: str, what: str, option: str, where: str, there: Sequence[str]
) -> str:
    """Return the field that was given, or the only candidate.

    Args:
        candidates: Fields that may be meant.
        given: Name that the user has given, or "auto".
        what: Description of the field, for messages.
        option: Field of the reader that names it.
        where: The dataset, for messages.
        there: Names of all fields.

    Raises:
        DataError: There is no such field, or it is not clear which one is meant.
    """
    if given != "auto":
        if given not in there:
            raise DataError(
                f"{where} has no field {given!r}",
                rule=f"{what}: one of {', '.join(there)}",
                fix=f'reader={{..., "{option}": "{(list(candidates) or list(there) or [""])[0]}"}}',
            )
        return given
    if len(candidates) != 1:
        listed = ", ".join(candidates) or "none"
        example = (list(candidates) or ["name"])[0]
        raise DataError(
            f"it is not clear which field of {where} is {what}",
            rule=f"one field, or its name as `{option}` of the reader",
            received=f"candidates: {listed}; all fields: {', '.join(there)}",
            fix=f'reader={{..., "{option}": "{example}"}}',
        )
    return candidates[0]
