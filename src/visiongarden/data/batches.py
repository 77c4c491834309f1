"""Batches of `(images, targets)` from loaders of other libraries, checked and as NumPy arrays.

Accepted are iterables, among them generators, lists, `tf.data.Dataset`, the `DataLoader` of PyTorch
and Grain's datasets, and `keras.utils.PyDataset`. No library is imported for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from visiongarden.data.batch_targets import check_targets
from visiongarden.errors import UserError
from visiongarden.samples import Sample
from visiongarden.types import ImageSize

Pair = tuple[np.ndarray, dict[str, np.ndarray]]

_RULE = "a loader, or an iterable of (images, targets)"
_LOADER = 'vg.data.Loader(vg.read("cells"), model.image_size, 16, [], shuffle=True)'
_CHANNELS = (1, 3, 4)
_MAX_VALUE = {"uint8": 255, "uint16": 65535}
_ENDLESS = 2**40
"""Length from which an iterable is endless: Grain gives repeated datasets `sys.maxsize`."""


@runtime_checkable
class _Numbered(Protocol):
    """A `keras.utils.PyDataset`: its batches are taken by number, and iterating does not end."""

    @property
    def num_batches(self) -> Any: ...

    def __getitem__(self, index: int) -> Any: ...


@runtime_checkable
class _Counted(Protocol):
    """A `tf.data.Dataset`, which knows whether it ends."""

    def cardinality(self) -> Any: ...


@runtime_checkable
class _Tensor(Protocol):
    """A tensor of PyTorch, which may be on a device and require gradients."""

    def detach(self) -> Any: ...

    def cpu(self) -> Any: ...


@runtime_checkable
class _Loader(Protocol):
    """A loader like `Loader`, whose epochs are numbered."""

    image_size: ImageSize
    batch_size: int

    def __len__(self) -> int: ...

    def epoch(self, number: int, epochs: int | None = None) -> Iterator[Any]: ...


def pairs_of(data: Any, dtype: str = "uint8") -> Iterator[Pair]:
    """Yield images (batch, height, width, channels) and targets by name.

    Args:
        data: Iterable of `(images, targets)`, or a `keras.utils.PyDataset`.
        dtype: Type of the images, that of the model's preprocessing.

    Raises:
        UserError: The data are no such batches, or do not end.
    """
    for number, batch in enumerate(_batches(data)):
        yield _pair(batch, f"batch {number}", dtype)


def count_of(data: Any) -> int | None:
    """Return the number of batches of an epoch; None if it is not known.

    Raises:
        UserError: The data do not end.
    """
    if isinstance(data, _Counted):
        count = int(data.cardinality())
        if count == -1:
            raise _endless(data)
        return count if count >= 0 else None
    if _is_numbered(data):
        if data.num_batches is None:
            raise _endless(data)
        return int(data.num_batches)
    try:
        count = len(data)
    except (TypeError, NotImplementedError):  # such as a DataLoader of an iterable dataset
        return None
    if count >= _ENDLESS:
        raise _endless(data)
    return count


def loader_of(data: Any, dtype: str = "uint8") -> Any:
    """Return a loader for training: `data` itself, or the batches of another library.

    Args:
        data: Loader, or iterable of `(images, targets)`.
        dtype: Type of the images, that of the model's preprocessing.

    Raises:
        UserError: The data cannot be read once per epoch, or are no batches of `(images, targets)`.
    """
    return data if isinstance(data, _Loader) else ForeignBatches(data, dtype)


class _TrainingBatch(NamedTuple):
    images: np.ndarray
    targets: dict[str, np.ndarray]


class ForeignBatches:
    """Batches of another library with the interface of a loader.

    Their order is that of the library, so a resumed run does not see the batches that it would
    have seen without the interruption, unless the library yields the same batches in each epoch.

    Args:
        data: Iterable of `(images, targets)` that can be read several times and has a length.
        dtype: Type of the images, that of the model's preprocessing.

    Attributes:
        image_size: (height, width) of the images of the first batch.
        batch_size: Number of images of the first batch.
        names: Names of the targets of the first batch.

    Raises:
        UserError: The data cannot be read several times, have no length or no batch, or are no
            batches of `(images, targets)`.

    Example:
        >>> images = np.zeros((2, 64, 96, 3), np.uint8)
        >>> targets = {"labels": np.eye(2, dtype=np.float32)}
        >>> batches = ForeignBatches([(images, targets)])
        >>> len(batches), batches.image_size, batches.batch_size
        (1, (64, 96), 2)
    """

    def __init__(self, data: Any, dtype: str = "uint8") -> None:
        if isinstance(data, Iterator):
            raise UserError(
                f"data is a {type(data).__name__}, which can be read only once",
                rule="data that are read once per epoch",
                fix="list(data), or a keras.utils.PyDataset",
            )
        count = count_of(data)
        if count is None:
            raise UserError(
                f"the number of batches of data, a {type(data).__name__}, is not known",
                rule="`len(data)` batches in every epoch",
                fix="data.apply(tf.data.experimental.assert_cardinality(count))"
                if isinstance(data, _Counted)
                else "list(data), or a keras.utils.PyDataset",
            )
        first = next(pairs_of(data, dtype), None) if count else None
        if first is None:
            raise no_batch()
        self.data, self._count, self._dtype = data, count, dtype
        images, targets = first
        self.names = tuple(targets)
        self._kept: frozenset[str] | None = None
        self._num_classes: int | None = None
        self._channels = images.shape[3]
        self.image_size: ImageSize = (images.shape[1], images.shape[2])
        self.batch_size = len(images)

    def __len__(self) -> int:
        return self._count

    def keep(self, names: Iterable[str]) -> None:
        """Leave out all targets except those with these names."""
        self._kept = frozenset(names)

    def fit_to(self, image_size: ImageSize, channels: int, num_classes: int | None) -> None:
        """Check the targets of each batch for a model with a number of classes.

        Args:
            image_size: (height, width) of the model's images.
            channels: number of channels of the model's images.
            num_classes: number of classes of the model; None: the targets are not checked.

        Raises:
            UserError: the images of the first batch have another size or number of channels.
        """
        if (*self.image_size, self._channels) != (*image_size, channels):
            height, width = image_size
            raise UserError(
                "the images of data do not fit the model",
                rule=f"{height} × {width} pixels with {channels} channels",
                received="{} × {} pixels with {}".format(*self.image_size, self._channels),
                fix=f"resize images and boxes, or build the model with image_size={self.image_size}"
                if self._channels == channels
                else f"images[..., :{channels}]"
                if self._channels > channels
                else f"np.repeat(images, {channels}, axis=-1)",
            )
        self._num_classes = num_classes

    def epoch(self, number: int, epochs: int | None = None) -> Iterator[_TrainingBatch]:
        """Iterate over the batches of one epoch.

        Args:
            number: Number of the epoch, from 0; the library decides what it means for the order.
            epochs: Number of epochs of the run.

        Raises:
            UserError: A batch is not valid, or its images have another size.
        """
        for place, (images, targets) in enumerate(pairs_of(self.data, self._dtype)):
            if images.shape[1:3] != self.image_size:
                height, width = self.image_size
                raise UserError(
                    f"batch {place} of epoch {number + 1} has images of "
                    f"{images.shape[1]} × {images.shape[2]} pixels",
                    rule=f"the size of the first batch, {height} × {width}",
                )
            if self._num_classes is not None:
                where = f"batch {place}"
                check_targets(targets, self.image_size, self._num_classes, where)
            kept = targets if self._kept is None else _selected(targets, self._kept, place)
            yield _TrainingBatch(images, kept)


def _selected(
    targets: Mapping[str, np.ndarray], names: frozenset[str], place: int
) -> dict[str, np.ndarray]:
    missing = names - targets.keys()
    if missing:
        raise UserError(
            f"batch {place} of data has no target {min(missing)!r}",
            rule="the same targets in all batches",
            received=", ".join(targets) or "no targets",
        )
    return {name: array for name, array in targets.items() if name in names}


def no_batch() -> UserError:
    """Return the error for data without any batch."""
    return UserError(
        "data contains no batch",
        rule="an iterable with at least one (images, targets)",
        fix="a generator can be read only once: create it again, or use a list",
    )


def _batches(data: Any) -> Iterator[Any]:
    if _is_numbered(data):
        count = count_of(data) or 0
        return (data[index] for index in range(count))
    if not isinstance(data, Iterable) or isinstance(data, str | bytes | Mapping | np.ndarray):
        raise UserError(f"data is of type {type(data).__name__}", rule=_RULE, fix=_LOADER)
    if not isinstance(data, Iterator):
        count_of(data)  # raises for data that do not end
    return iter(data)


def _is_numbered(data: Any) -> bool:
    try:
        return isinstance(data, _Numbered)
    except NotImplementedError as error:  # a PyDataset without `__len__` and `num_batches`
        raise UserError(
            f"the number of batches of data, a {type(data).__name__}, is not known",
            rule="`len(data)` batches in every epoch",
            fix="define __len__ of the dataset",
        ) from error


def _endless(data: Any) -> UserError:
    return UserError(
        f"data, a {type(data).__name__}, does not end",
        rule="the batches of one epoch",
        fix="leave out repeat(), or data.take(count)",
    )


def _pair(batch: Any, where: str, dtype: str) -> Pair:
    """Return one batch as arrays.

    Raises:
        UserError: It is not `(images, targets)`.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        received = type(batch).__name__
        if isinstance(batch, tuple | list):
            received += f" of {len(batch)} values"
        raise UserError(
            f"{where} of data has no targets"
            if not isinstance(batch, tuple | list) or len(batch) < 2
            else f"{where} of data has more than images and targets",
            rule="(images, targets); targets are a mapping from name to array",
            received=received,
            fix=_LOADER
            if isinstance(batch, Sample)
            else '(images, {"boxes": boxes, "classes": classes})',
        )
    images, targets = _array(batch[0]), batch[1]
    if not isinstance(targets, Mapping):
        raise UserError(
            f"the targets of {where} of data are not a mapping",
            rule="a mapping from name to array",
            received=type(targets).__name__,
            fix='{"labels": targets} for classes (batch, classes)',
        )
    _check_images(images, where, dtype)
    arrays = {str(name): _array(value) for name, value in targets.items()}
    for name, array in arrays.items():
        if not array.ndim or len(array) != len(images):
            raise UserError(
                f"{where} of data has {len(images)} images, but {name!r} has the shape "
                f"{array.shape}",
                rule="one row of each target for each image",
            )
    return images, arrays


def _check_images(images: np.ndarray, where: str, dtype: str) -> None:
    shape, rule = images.shape, f"{dtype} (batch, height, width, channels)"
    highest = _MAX_VALUE.get(dtype)
    rule += "" if highest is None else f", 0 to {highest}"
    fix = None
    if images.ndim == 3:
        fix = "images[None], for a batch of one image"
    elif images.ndim == 4 and shape[1] in _CHANNELS and shape[3] not in _CHANNELS:
        fix = "images.transpose(0, 2, 3, 1): the channels are the last axis, not the second"
    elif images.ndim == 4 and images.dtype == dtype:
        return
    elif highest and np.issubdtype(images.dtype, np.floating) and images.size:
        is_share = float(images.min()) >= 0 and float(images.max()) <= 1
        values = f"(images * {highest}).round()" if is_share else "images"
        fix = f'{values}.astype("{dtype}")'
        rule += "; the model scales them itself"
    raise UserError(
        f"the images of {where} of data have the type {images.dtype} and the shape {shape}",
        rule=rule,
        received=_range(images),
        fix=fix,
    )


def _range(images: np.ndarray) -> str | None:
    if not images.size or not np.issubdtype(images.dtype, np.number):
        return None
    return f"values from {float(images.min()):g} to {float(images.max()):g}"


def _array(value: Any) -> np.ndarray:
    if isinstance(value, _Tensor):
        value = value.detach().cpu()
    return np.asarray(value)


def as_tf_data(loader: Any) -> Any:
    """Return the batches of a loader as a `tf.data.Dataset`, see `Loader.to_tf_data`."""
    from visiongarden.interchange.optional import imported_library

    tf = imported_library("tensorflow", "Loader.to_tf_data")
    if not len(loader):
        raise UserError("the loader has no batch", rule="at least one image")
    first = next(iter(loader.epoch(0)))
    is_full = loader.drop_remainder or loader.images_per_epoch % loader.batch_size == 0
    rows = loader.batch_size if is_full else None
    size = (None, None) if len(loader.sizes) > 1 else first.images.shape[1:3]

    def spec(name: str, array: np.ndarray) -> Any:
        shape: Sequence[Any] = array.shape[1:]
        # Images and what has their size may differ between batches with `multi_scale`.
        if name in ("", "semantic") and tuple(shape[:2]) == first.images.shape[1:3]:
            shape = (*size, *shape[2:])
        elif name == "masks" and len(loader.sizes) > 1:
            shape = (shape[0], None, None)
        return tf.TensorSpec((rows, *shape), array.dtype)

    signature = (
        spec("", first.images),
        {name: spec(name, array) for name, array in first.targets.items()},
    )
    numbers = iter(range(2**31))

    def epoch() -> Iterator[Pair]:
        for batch in loader.epoch(next(numbers)):
            yield batch.images, batch.targets

    batches = tf.data.Dataset.from_generator(epoch, output_signature=signature)
    return batches.apply(tf.data.experimental.assert_cardinality(len(loader))).prefetch(1)
