"""`TFDS`: reader of datasets that TensorFlow Datasets has prepared."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers import records
from visiongarden.data.readers.build import no_split, read_text
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.records import Objects
from visiongarden.errors import DataError
from visiongarden.interchange.optional import imported_library
from visiongarden.registry import register
from visiongarden.storage import parse_json
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

_NAME = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_.+-]+)?(:[0-9.*]+)?")
_OWN_MODULE = "tensorflow_datasets."
_FILES = ("dataset_info.json", "features.json")
_SPLIT = {"validation": "val", "valid": "val"}
"""Names of splits in visiongarden by those in TensorFlow Datasets, if they differ."""
_ORDERS = {"YXYX": [1, 0, 3, 2], "XYXY": [0, 1, 2, 3], "XYWH": [0, 1, 2, 3]}


@runtime_checkable
class _Named(Protocol):
    """Feature with class names, such as `ClassLabel`."""

    names: Any


@runtime_checkable
class _Repeated(Protocol):
    """Feature that is repeated, such as `Sequence`."""

    feature: Any


@runtime_checkable
class _Formatted(Protocol):
    """Feature of boxes in one of several formats."""

    bbox_format: Any


@register
class TFDS(Reader):
    """Reader of datasets that TensorFlow Datasets (`tensorflow_datasets`) has prepared.

    The path is the name of a dataset, such as `coco/2017`, or the folder of a prepared one, which
    contains `dataset_info.json`. Nothing is downloaded: a dataset is prepared first, in the format
    `array_record`, which has random access. Images are read when they are needed; labels are read
    once, and checked.

    - Detection: a feature such as `objects` with `bbox`, `label` and optionally `is_crowd`.
    - Classification: a feature such as `label` with the names of the classes; several labels of an
      image are read as such, and -1 is unknown.
    - Segmentation: a feature such as `segmentation_mask` whose values are class indices. The names
      of the classes are given as `class_names`.

    The split `validation` is called "val".

    Attributes:
        name: Name of the dataset if it is not the path, which may then be the folder of the
            prepared datasets.
        version: Version of the dataset; "" is the newest.
        data_dir: Folder of the prepared datasets; "" is the one that TensorFlow Datasets uses.
        image: Feature with the images; "auto" finds it.
        labels: Feature with the annotations; "auto" finds it.
        label: Key of an object's class, in the feature of the objects.

    Example:
        >>> dataset = vg.read("coco/2017", reader="TFDS", split="val")  # doctest: +SKIP
    """

    files: ClassVar[str] = "a dataset prepared by TensorFlow Datasets: its folder or name"
    takes_name: ClassVar[bool] = True

    name: str = ""
    version: str = ""
    data_dir: str = ""
    image: str = "auto"
    labels: str = "auto"
    label: str = "label"

    def matches(self, source: Source) -> float:
        """Return 0.95 for the folder of a prepared dataset."""
        root = source.root
        return 0.95 if all((root / name).is_file() for name in _FILES) else 0.0

    def is_divisible(self, source: Source) -> bool:
        """Return True: records have numbers by which they can be divided."""
        return True

    def stored_in(self, root: Place) -> Place | None:
        """Return the folder of the prepared dataset."""
        return Path(self._store(root, "").builder().data_dir)

    def located(self, root: Place) -> Callable[[str], Any]:
        """Return the function from the text of an image's location to the record."""
        return records.ImagesOfSplits(functools.partial(self._split, root))

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits."""
        builder = self._store(source.root, "").builder()
        return tuple(_SPLIT.get(str(name), str(name)) for name in builder.info.splits)

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        records.forget()
        store = self._split(source.root, split)
        features, images = _features(store.builder()), store.encoded
        where = str(source.root)
        masks = [name for name in images if "mask" in name.lower() or "seg" in name.lower()]
        pictures = [name for name in images if name not in masks]
        if "image" in pictures and self.image == "auto":
            pictures = ["image"]
        there = list(features)
        image = records.one_of(pictures, self.image, "the image", "image", where, there)
        objects = [name for name, feature in features.items() if _has_boxes(feature)]
        classes = [name for name, feature in features.items() if _names(feature) is not None]
        found = objects or masks or classes
        labels = records.one_of(found, self.labels, "the annotation", "labels", where, there)
        if labels in objects:
            return self._with_objects(store, image, labels, features[labels], source)
        if labels in images:
            class_map = records.class_map_of(None, source, f"{where}: {labels}")
            return records.with_masks(store, (image, labels), class_map, source)
        class_map = records.class_map_of(_names(features[labels]), source, f"{where}: {labels}")
        numbers = (_plain(records.record(store, i)[labels]) for i in _range(store))
        return records.with_classes(store, image, class_map, numbers, source)

    def _split(self, root: Place, split: str) -> _Store:
        """Return the records of a split.

        Raises:
            DataError: The split does not exist.
        """
        builder = self._store(root, split).builder()
        own = {_SPLIT.get(str(name), str(name)): str(name) for name in builder.info.splits}
        if split not in own:
            raise no_split(root, split, own)
        # No image is decoded, also of those that are not read: every record is decoded with them.
        images = tuple(name for name, each in _features(builder).items() if _is_image(each))
        return self._store(root, split, own[split], images)

    def _with_objects(
        self, store: _Store, image: str, labels: str, feature: Any, source: Source
    ) -> Dataset:
        inner = _inner(feature)
        if self.label not in inner:
            raise DataError(
                f"{source.root}: {labels} has no {self.label!r}",
                rule="the key of an object's class as `label` of the reader",
                received=", ".join(map(str, inner)),
            )
        names = _names(inner[self.label])
        class_map: ClassMap = records.class_map_of(names, source, f"{source.root}: {labels}")
        box_format = _box_format(inner["bbox"])

        def objects_of(record: Mapping[str, Any], where: str) -> Objects:
            return _objects(record.get(labels), self.label, box_format, where)

        return records.with_objects(store, image, class_map, objects_of, source)

    def _store(
        self, root: Place, split: str, own: str = "", encoded: tuple[str, ...] = ()
    ) -> _Store:
        if not isinstance(root, Path):
            raise DataError(
                f"{root}: a prepared dataset cannot be read from an archive",
                fix="unpack the archive",
            )
        folder = self.data_dir
        if self.name and not folder and root.is_dir():
            folder = str(root)
        name = self.name or root.as_posix()
        if self.version:
            name = f"{name}:{self.version}"
        prepared = str(root) if not self.name and self.matches(Source(root)) else ""
        return _Store(name, folder, prepared, split, own or split, encoded)


@dataclass(frozen=True)
class _Store:
    """A split of a prepared dataset.

    Attributes:
        name: Name of the dataset, with its config and version.
        data_dir: Folder of the prepared datasets, or "".
        folder: Folder of the prepared dataset, instead of its name; or "".
        split: Name of the split in visiongarden.
        own_split: Name of the split in the dataset.
        encoded: Features whose images are not decoded.
    """

    name: str
    data_dir: str
    folder: str
    split: str
    own_split: str
    encoded: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.folder or self.name}#{self.split}"

    def builder(self) -> Any:
        """Return the builder of the dataset, which must be prepared."""
        tfds = imported_library("tensorflow_datasets", "the reader TFDS")
        if self.folder:
            _check_features(Path(self.folder) / _FILES[1])
            return self._called(lambda: tfds.builder_from_directory(self.folder))
        if not _NAME.fullmatch(self.name):
            raise DataError(
                f"{self.name!r:.80} is neither a folder nor the name of a dataset",
                rule="the folder of a prepared dataset, or a name such as coco/2017",
                fix='vg.read("coco/2017", reader="TFDS")',
            )
        home = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
        top = Path(self.data_dir or home).expanduser() / re.split("[/:]", self.name)[0]
        for pattern in ("*/features.json", "*/*/features.json"):
            for file in top.glob(pattern):
                _check_features(file)
        options = {"data_dir": self.data_dir} if self.data_dir else {}
        builder = self._called(lambda: tfds.builder(self.name, try_gcs=False, **options))
        if not len(builder.info.splits):
            arguments = "".join(f", {key}={value!r}" for key, value in options.items())
            raise DataError(
                f"the dataset {self.name} is not prepared",
                rule=f"prepared in {builder.data_dir}; nothing is downloaded without being asked",
                fix=f'tensorflow_datasets.builder("{self.name}", file_format="array_record"'
                f"{arguments}).download_and_prepare()",
            )
        return builder

    def open(self) -> Any:
        """Return the records of the split with random access."""
        tfds = imported_library("tensorflow_datasets", "the reader TFDS")
        decoders = {name: tfds.decode.SkipDecoding() for name in self.encoded}
        builder = self.builder()
        try:
            return builder.as_data_source(self.own_split, decoders=decoders)
        except NotImplementedError as error:
            raise DataError(
                f"the dataset {self.name} has no random access",
                rule="prepared in the format array_record",
                received=f"{error!s:.200}",
                fix=f'tensorflow_datasets.builder("{self.name}", file_format="array_record", '
                'data_dir="another_folder").download_and_prepare()',
            ) from error

    def image(self, value: Any, where: str) -> bytes:
        """Return the bytes of an image file."""
        if not isinstance(value, bytes):
            raise DataError(f"{where}: not an encoded image", received=f"{value!r:.80}")
        return value

    def _called(self, function: Any) -> Any:
        try:
            return function()
        except Exception as error:  # of the other library: any
            raise DataError(
                f"the dataset {self.folder or self.name} cannot be opened",
                rule="a dataset that TensorFlow Datasets knows or has prepared",
                received=f"{type(error).__name__}: {error!s:.300}",
            ) from error


def _check_features(file: Path) -> None:
    """Refuse a file of features that would import modules when it is opened.

    Raises:
        DataError: The file names a class outside of TensorFlow Datasets.
    """
    waiting = [parse_json(read_text(file).encode(), file)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        if isinstance(item, dict):
            waiting += item.values()
            for key in ("pythonClassName", "python_class_name", "type"):
                name = item.get(key)
                if isinstance(name, str) and "." in name and not name.startswith(_OWN_MODULE):
                    raise DataError(
                        f"{file}: a feature is of a class outside of TensorFlow Datasets",
                        rule="opening a file imports no module",
                        received=f"{name!r:.80}",
                        fix="use from_source with a data source that you have opened",
                    )


def _features(builder: Any) -> dict[str, Any]:
    return dict(builder.info.features.items())


def _range(store: _Store) -> range:
    return range(len(records.opened(store)))


def _inner(feature: Any) -> Mapping[str, Any]:
    """Return the features of the objects in a repeated feature."""
    inner = feature.feature if isinstance(feature, _Repeated) else feature
    try:
        return dict(inner.items())
    except AttributeError:  # a single feature
        return {}


def _has_boxes(feature: Any) -> bool:
    return "bbox" in _inner(feature)


def _is_image(feature: Any) -> bool:
    return type(feature).__name__ in ("Image", "LabeledImage")


def _names(feature: Any) -> list[str] | None:
    """Return the class names of a feature, or of the feature that it repeats."""
    if isinstance(feature, _Repeated) and not isinstance(feature, _Named):
        feature = feature.feature
    if isinstance(feature, _Named) and feature.names:
        return list(feature.names)
    return None


def _box_format(feature: Any) -> str:
    """Return the format of boxes: "REL_YXYX" by default."""
    given = feature.bbox_format if isinstance(feature, _Formatted) else None
    return "REL_YXYX" if given is None else str(given).rpartition(".")[2]


def _objects(objects: Any, label: str, box_format: str, where: str) -> Objects:
    if isinstance(objects, list | tuple):  # one mapping for each object
        objects = {key: [one[key] for one in objects] for key in (objects[0] if objects else {})}
        objects = {"bbox": [], label: []} | objects
    try:
        boxes = np.asarray(objects["bbox"], np.float64).reshape(-1, 4)
        classes = [int(number) for number in objects[label]]
        crowd = [bool(flag) for flag in objects.get("is_crowd", ())]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: the objects are damaged", received=f"{error!s:.80}") from error
    if not len(boxes) == len(classes) == len(crowd or classes):
        raise DataError(
            f"{where}: {len(boxes)} boxes, {len(classes)} classes", rule="one class for each box"
        )
    boxes = boxes[:, _ORDERS[box_format.removeprefix("REL_")]]
    if box_format == "XYWH":
        boxes[:, 2:] += boxes[:, :2]
    return Objects(boxes, classes, crowd, are_shares=box_format.startswith("REL_"))


def _plain(label: Any) -> Any:
    return [int(number) for number in label] if isinstance(label, list | np.ndarray) else int(label)
