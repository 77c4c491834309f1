"""Checks of writers: what is written can be read, and what is lost is reported."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.readers import read
from visiongarden.errors import UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Masks, Sample
from visiongarden.storage import atomic_write
from visiongarden.testing.checks import values
from visiongarden.testing.report import Finding, failed, passed, warned
from visiongarden.testing.value_subject import ValueSubject
from visiongarden.types import ClassMap

_SIZE = (32, 48)
_BOXES: tuple[list[list[int]], ...] = ([[4, 6, 20, 26], [0, 0, 40, 30]], [[10, 2, 30, 22]], [])
_CLASSES = ClassMap(("cat", "dog"))
_TOLERANCE = 0.01


class WriterSubject(ValueSubject):
    """A writer under test, with a dataset of the annotations that it stores."""

    @cached_property
    def kind(self) -> str:
        """Annotations of the dataset: "boxes", "labels" or "semantic"."""
        fields = self.cls.fields
        known = [name for name in ("boxes", "labels", "semantic") if not fields or name in fields]
        return known[0] if known else "boxes"

    @contextlib.contextmanager
    def written(self, masks: bool = False) -> Iterator[tuple[Path, dict[str, Dataset], Any]]:
        """Write the dataset; yield the folder, the datasets and what `write` returned.

        Args:
            masks: Whether the objects have polygons, too.
        """
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source", Path(folder) / "target"
            target.mkdir()
            splits = {
                name: dataset(source / name, name, self.kind, masks) for name in ("train", "val")
            }
            yield target, splits, self.value.write(splits, target)


def dataset(folder: Path, split: str, kind: str, masks: bool = False) -> Dataset:
    """Return a small dataset with image files in a folder.

    Args:
        folder: Folder of the images, to be created.
        split: Name of the split, which is part of the names of the images.
        kind: "boxes", "labels" or "semantic".
        masks: Whether objects have polygons, too.
    """
    samples = []
    for index, boxes in enumerate(_BOXES):
        image = folder / f"{split}{index}.png"
        pixels = np.full((*_SIZE, 3), 40 * index, np.uint8)
        atomic_write(image, cv2.imencode(".png", pixels)[1].tobytes(), durable=False)
        info = ImageInfo(index, image, _SIZE)
        if kind == "labels":
            samples.append(Sample(info, labels=np.eye(2, dtype=np.float32)[index % 2]))
            continue
        if kind == "semantic":
            classes = np.zeros(_SIZE, np.int32)
            classes[: 4 + index] = 1
            samples.append(Sample(info, semantic=classes))
            continue
        rings = [[[x1, y1, x2, y1, x2, y2]] for x1, y1, x2, y2 in boxes]
        objects = Instances(
            _SIZE,
            Boxes(np.reshape(boxes, (-1, 4))),
            np.arange(len(boxes)) % 2,
            masks=Masks.from_polygons(rings, _SIZE) if masks else None,
        )
        samples.append(Sample(info, instances=objects))
    return Dataset(_CLASSES, samples, split)


def declared(subject: WriterSubject) -> Finding:
    """Check that the format has a name."""
    name = vars(subject.cls).get("format")
    if not isinstance(name, str) or not name:
        return failed("the writer has no format", 'format: ClassVar[str] = "my_format"')
    return passed(f"--format {name}")


def writes(subject: WriterSubject) -> Finding:
    """Check that files are written, and that what the format cannot store is returned."""
    with subject.written() as (target, _, lost):
        files = [path for path in target.rglob("*") if path.is_file()]
    if not isinstance(lost, list) or not all(isinstance(line, str) for line in lost):
        return failed(
            f"write returns {lost!r:.60}",
            "return a list with a line for each annotation that the format cannot store",
        )
    if not files:
        return failed("no file is written", "write into the folder that is passed")
    return passed(f"{len(files)} files, {len(lost)} annotations not stored")


def repeatable(subject: WriterSubject) -> Finding:
    """Check that the same dataset gives the same files."""
    found = []
    for _ in range(2):
        with subject.written() as (target, _, _):
            paths = sorted(path for path in target.rglob("*") if path.is_file())
            found.append([(p.relative_to(target).as_posix(), p.stat().st_size) for p in paths])
    if found[0] == found[1]:
        return passed("the same files each time")
    return failed("two calls write different files", "use neither random names nor the time")


def reads_back(subject: WriterSubject) -> Finding:
    """Check that reading the files returns the annotations, apart from those reported as lost."""
    with subject.written() as (target, splits, lost):
        try:
            found = {split: _read(subject, target, split) for split in splits}
        except UserError as error:
            if not subject.cls.reader:
                return warned(
                    f"no reader reads the files: {error.what}",
                    'reader: ClassVar[str] = "MyReader", the reader of the format',
                )
            raise
        for split, before in splits.items():
            difference = _difference(before, found[split])
            if difference and not lost:
                return failed(
                    f"the split {split!r} differs after reading: {difference}",
                    "store every annotation, or return a line for each that is lost",
                )
    return passed(f"{sum(map(len, found.values()))} images")


def loss_reported(subject: WriterSubject) -> Finding:
    """Check that masks that the format cannot store are reported."""
    if subject.kind != "boxes":
        return passed("the format stores no objects")
    try:
        with subject.written(masks=True) as (target, splits, lost):
            kept = all(
                found.instances.masks is not None
                for split in splits
                for found in _read(subject, target, split)
                if len(found.instances)
            )
    except UserError as error:
        return passed(f"refused: {error.what:.80}")
    if not kept and not lost:
        return failed(
            "masks are lost without a report",
            'return ["image: 2 masks"] for what the format cannot store',
        )
    return passed("masks are stored" if kept else f"{len(lost)} lines")


def _read(subject: WriterSubject, folder: Path, split: str) -> Dataset:
    return as_dataset(read(folder, split=split, reader=subject.cls.reader or "auto"), split)


def _difference(before: Dataset, after: Dataset) -> str:
    """Return how two datasets differ; images are matched by name, classes by theirs."""
    old, new = (_by_name(dataset) for dataset in (before, after))
    if old.keys() != new.keys():
        # A format may rename images; their annotations must be the same.
        if sorted(map(_plain, old.values())) == sorted(map(_plain, new.values())):
            return ""
        return f"the images {', '.join(sorted(old))} became {', '.join(sorted(new))}"
    for name, was in old.items():
        for what, value in was.items():
            now = new[name][what]
            is_same = (
                np.shape(value) == np.shape(now) and np.abs(value - now).max(initial=0) < _TOLERANCE
                if isinstance(value, np.ndarray)
                else value == now
            )
            if not is_same:
                return f"{what} of {name} were {_text(value)}, and are {_text(now)}"
    return ""


def _by_name(dataset: Dataset) -> dict[str, dict[str, Any]]:
    names = dataset.class_map.names
    found = {}
    for sample in dataset:
        objects = sample.instances
        boxes = np.zeros((0, 4)) if objects.boxes is None else np.asarray(objects.boxes, float)
        classes = [] if objects.classes is None else [names[index] for index in objects.classes]
        label = None if sample.labels is None else names[int(np.argmax(sample.labels))]
        # A format may change the suffix of an image.
        stem = Path(str(sample.info.source)).stem
        found[stem] = {"boxes": boxes, "classes": classes, "class": label}
    return found


def _plain(annotations: dict[str, Any]) -> str:
    return str({name: _text(value) for name, value in annotations.items()})


def _text(value: Any) -> str:
    return str(value.tolist() if isinstance(value, np.ndarray) else value)


CHECKS: dict[str, Callable[[WriterSubject], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
    "declared": declared,
    "writes": writes,
    "repeatable": repeatable,
    "reads_back": reads_back,
    "loss_reported": loss_reported,
}
"""Checks of a writer by name, in the order in which they run."""
