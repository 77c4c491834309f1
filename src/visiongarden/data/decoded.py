"""`DecodedSamples`: samples with decoded images, reduced to what a canvas can show."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.errors import DataError
from visiongarden.samples import Sample
from visiongarden.samples.columns import read_only
from visiongarden.samples.resizing import resize, resize_mask
from visiongarden.transforms import Letterbox, Resizing
from visiongarden.types import ImageSize

CACHE_BYTES = 2 * 2**30
"""All decoded images stay in memory if together they take less than this, over all processes."""

RECENT_BYTES = 384 * 2**20
"""Otherwise each process caches its most recent images, up to this size."""


_NOTED: ContextVar[list[str] | None] = ContextVar("noted", default=None)
"""Lines about the images that are skipped; None outside `noted_skips`."""


@contextmanager
def noted_skips() -> Iterator[list[str]]:
    """Yield a list that receives a line for each image that is skipped inside the block."""
    lines: list[str] = []
    token = _NOTED.set(lines)
    try:
        yield lines
    finally:
        _NOTED.reset(token)


@dataclass(frozen=True)
class Detail:
    """Resolution at which decoded images are kept.

    Attributes:
        factor: Size relative to the canvas; above 1, crops of an image are still sharp when they
            fill the canvas.
        resize: How images are brought to the canvas.
        quick: Whether JPEGs may be decoded at a reduced size and resized by interpolation. This is
            much faster and changes pixels, so metrics do not use it.
    """

    factor: float = 1.0
    resize: Resizing = field(default_factory=Letterbox)
    quick: bool = False

    def sides(self, height: int, width: int, canvas: ImageSize) -> ImageSize:
        """Return the (height, width) at which an image is kept; it is never enlarged."""
        rows, columns = (self.factor * each for each in self.resize.ratios((height, width), canvas))
        if min(rows, columns) < 1 < max(rows, columns):
            # Reduced along one axis here and enlarged along the other one later, an image would
            # have other pixels than one that is resized in one step, as in prediction.
            return height, width
        return max(round(height * min(rows, 1.0)), 1), max(round(width * min(columns, 1.0)), 1)

    def pixels(self, canvas: ImageSize) -> float:
        """Return the number of pixels that an image usually takes."""
        return self.factor**2 * canvas[0] * canvas[1]


class DecodedSamples(Sequence[Sample]):
    """Samples with decoded images and annotations in their pixels.

    If all decoded images fit into memory, they are cached. Otherwise the most recent ones are,
    which the following mosaics reuse.

    Args:
        dataset: Samples to decode.
        canvas: (height, width) of the largest canvas.
        detail: Resolution at which images are kept.
        processes: Number of processes, each of which fills its own cache.
        recent: Number of images that are worth caching if not all fit into memory.
        skips: Whether the next image takes the place of one that cannot be decoded, see
            `noted_skips`.
        left_out: Annotations of the whole image that samples do not have: "labels", "semantic".
    """

    def __init__(
        self,
        dataset: Dataset,
        canvas: ImageSize,
        detail: Detail,
        processes: int,
        recent: int,
        skips: bool = False,
        left_out: Collection[str] = (),
    ) -> None:
        self.skips, self.left_out = skips, tuple(left_out)
        self.dataset, self.canvas, self.detail = dataset, canvas, detail
        has_masks = "semantic" in dataset.fields
        size = detail.pixels(canvas) * (4 if has_masks else 3)
        fits = len(dataset) * size * max(processes, 1) < CACHE_BYTES
        self.max_kept = len(dataset) if fits else min(recent, int(RECENT_BYTES / size))
        # `size` is that of 8-bit RGB; images of more channels or bits reach this limit before.
        self.max_bytes = CACHE_BYTES // max(processes, 1) if fits else RECENT_BYTES
        self._start()

    def _start(self) -> None:
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    # Worker processes receive neither the cache nor the lock, which cannot be pickled.
    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_kept", "_bytes", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        with self._lock:
            found = self._kept.get(index)
            if found is not None:
                self._kept.move_to_end(index)
        if found is None:
            found = self._decoded_or_next(int(index))
            if self.max_kept:
                with self._lock:
                    self._keep(index, found)
        # A transform may assign to the attributes of a sample; the arrays are never changed.
        return replace(found)

    def _keep(self, index: int, sample: Sample) -> None:
        """Cache a sample in place of the ones that were not used for the longest time."""
        before = self._kept.pop(index, None)  # of another thread
        self._bytes += _bytes_of(sample) - (0 if before is None else _bytes_of(before))
        self._kept[index] = sample
        while len(self._kept) > self.max_kept or self._bytes > self.max_bytes:
            self._bytes -= _bytes_of(self._kept.popitem(last=False)[1])

    def _decoded_or_next(self, index: int) -> Sample:
        """Return the sample of an image, or that of the next one that can be decoded."""
        for place in range(index, index + len(self)):
            try:
                return self._decoded(place % len(self))
            except DataError as error:
                if not self.skips or place == index + len(self) - 1:
                    raise
                noted = _NOTED.get()
                if noted is not None:
                    noted.append(error.what)
        raise IndexError(index)

    def _decoded(self, index: int) -> Sample:
        sample = self.dataset.load(index, self.canvas if self.detail.quick else None)
        for name in self.left_out:
            setattr(sample, name, None)
        image = np.asarray(sample.image)
        rows, columns = image.shape[:2]
        size = sample.info.original_size
        sides = self.detail.sides(rows, columns, self.canvas)
        # Read-only, because they are cached and used again.
        sample.image = read_only(resize(image, sides, self.detail.quick))
        if sample.semantic is not None:
            sample.semantic = read_only(resize_mask(sample.semantic, sides))
        # Scaled from the original size: a JPEG may have been decoded at a reduced size.
        factors = np.array([sides[1] / size[1], sides[0] / size[0]], np.float32)
        matrix = np.diag([*factors.tolist(), 1.0])
        sample.info = sample.info.moved(matrix)
        if (factors != 1).any() or sample.instances.size != sides:
            sample.instances = sample.instances.move(matrix, sides)
        return sample


def _bytes_of(sample: Sample) -> int:
    """Return the memory of the pixels of a sample, which is nearly all of it."""
    arrays = (sample.image, sample.semantic)
    return sum(array.nbytes for array in arrays if array is not None)


class InOrder(Sequence[Sample]):
    """Samples indexed by their position in an epoch."""

    def __init__(self, samples: DecodedSamples, order: np.ndarray) -> None:
        self.samples, self.order = samples, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: Any) -> Any:
        return self.samples[int(self.order[place])]
