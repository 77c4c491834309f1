"""`HuggingFaceDataset`: reader of Arrow and Parquet files, and of datasets on the Hub."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.file_names import names_in
from visiongarden.data.readers import records
from visiongarden.data.readers.arrow_files import ArrowRows
from visiongarden.data.readers.build import no_split, read_text
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.records import Objects
from visiongarden.errors import DataError, UserError
from visiongarden.interchange.optional import imported_library
from visiongarden.registry import register
from visiongarden.storage import parse_json
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.names import path_inside, safe_name
from visiongarden.storage.place import Place, read_bytes

_ENDINGS = (".arrow", ".parquet")
_SPLIT = {"validation": "val", "valid": "val", "dev": "val"}
"""Names of splits in visiongarden by those of the files, if they differ."""
_OF_FILE = re.compile(r"(?<![A-Za-z])(train|validation|valid|val|dev|test)(?![A-Za-z])")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_BOXES = ("bbox", "bboxes", "boxes", "box")
_CLASSES = ("category", "categories", "label", "labels", "class", "classes", "category_id")
_MASKS = ("annotation", "mask", "label", "segmentation_mask", "segmentation", "semantic")


@register
class HuggingFaceDataset(Reader):
    """Reader of datasets of the library `datasets`: Arrow and Parquet files, or names on the Hub.

    The path is a folder that `save_to_disk` has written, an `.arrow` or `.parquet` file, or a
    folder of Parquet files; these are read with `pyarrow`. If it is no path, it is the name of a
    dataset on the Hugging Face Hub, which the library `datasets` downloads. No script of a dataset
    is executed. Images are read when they are needed; of Parquet files, whole groups of rows are
    decompressed for it, so Arrow files are faster.

    - Detection: a column such as `objects` with `bbox` and `category`, as lists or one mapping for
      each object.
    - Classification: a column of the type `ClassLabel`, or a list of them; -1 and missing values
      are unknown.
    - Segmentation: a second column of images, such as `annotation`, whose values are class indices.
      The names of the classes are given as `class_names`.

    The split `validation` is called "val".

    Attributes:
        name: Name of the dataset on the Hub if it is not the path.
        config: Configuration of the dataset on the Hub; "" is the default.
        revision: Version of the dataset on the Hub; "" is the newest.
        image: Column with the images; "auto" finds it.
        labels: Column with the annotations; "auto" finds it.
        bbox: Boxes in pixels: "xywh" as in COCO (left, top, width, height), or "xyxy".

    Example:
        >>> dataset = vg.read("saved", reader="HuggingFaceDataset")  # doctest: +SKIP
        >>> dataset = vg.read("cppe-5", reader="HuggingFaceDataset")  # doctest: +SKIP
    """

    files: ClassVar[str] = (
        "a dataset of Hugging Face: a folder written by save_to_disk, Arrow or Parquet files, or a "
        "name on the Hub"
    )
    takes_name: ClassVar[bool] = True

    name: str = ""
    config: str = ""
    revision: str = ""
    image: str = "auto"
    labels: str = "auto"
    bbox: Literal["xywh", "xyxy"] = "xywh"

    def matches(self, source: Source) -> float:
        """Return 0.95 for Arrow or Parquet files and for folders of them."""
        root = source.root
        if root.is_file():
            return 0.95 if root.suffix in _ENDINGS else 0.0
        if (root / "dataset_dict.json").is_file() or (root / "state.json").is_file():
            return 0.95
        names = [*names_in(root), *names_in(root / "data")]
        return 0.95 if any(name.endswith(_ENDINGS) for name in names) else 0.0

    def is_divisible(self, source: Source) -> bool:
        """Return True: rows have numbers by which they can be divided."""
        return True

    def stored_in(self, root: Place) -> Place | None:
        """Return the path; None for a dataset on the Hub, which may have a newer version."""
        return None if self.name or not root.exists() else root

    def located(self, root: Place) -> Callable[[str], Any]:
        """Return the function from the text of an image's location to the record."""
        return records.ImagesOfSplits(functools.partial(self._store, root))

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits."""
        return tuple(self._stores(source.root))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        records.forget()
        stores = self._stores(source.root)
        if split not in stores:
            raise no_split(source.root, split, stores)
        store = stores[split]
        rows = records.opened(store)
        features, names, where = rows.features, rows.names, str(source.root)
        images = [name for name in names if _is_image(features, name, rows)]
        masks = [name for name in images if name.lower() in _MASKS] if len(images) > 1 else []
        pictures = [name for name in images if name not in masks]
        if "image" in pictures:
            pictures = ["image"]
        image = records.one_of(pictures, self.image, "the image", "image", where, names)
        objects = [name for name in names if _key(features.get(name), _BOXES) is not None]
        classes = [name for name in names if _names(features.get(name)) is not None]
        found = objects or masks or classes
        labels = records.one_of(found, self.labels, "the annotation", "labels", where, names)
        place = f"{where}: {labels}"
        if labels in objects:
            return self._with_objects(store, image, labels, features[labels], source)
        if labels in images:
            class_map = records.class_map_of(None, source, place)
            return records.with_masks(store, (image, labels), class_map, source)
        class_map = records.class_map_of(_names(features.get(labels)), source, place)
        return records.with_classes(store, image, class_map, iter(rows.column(labels)), source)

    def _with_objects(
        self, store: Any, image: str, labels: str, feature: Any, source: Source
    ) -> Dataset:
        box, key = _key(feature, _BOXES), _key(feature, _CLASSES)
        if box is None or key is None:
            raise DataError(
                f"{source.root}: {labels} has no class of the objects",
                rule=f"one of {', '.join(_CLASSES)}",
                received=", ".join(map(str, _fields(feature))),
            )
        names = _names(_fields(feature)[key])
        class_map = records.class_map_of(names, source, f"{source.root}: {labels}")

        def objects_of(record: Mapping[str, Any], where: str) -> Objects:
            return _objects(record.get(labels), box, key, self.bbox, where)

        return records.with_objects(store, image, class_map, objects_of, source)

    def _store(self, root: Place, split: str) -> Any:
        return self._stores(root)[split]

    def _stores(self, root: Place) -> dict[str, Any]:
        """Return the rows of each split."""
        if not isinstance(root, Path):
            raise DataError(f"{root}: Arrow files cannot be read from an archive", fix="unpack it")
        if self.name or not root.exists():
            return self._on_the_hub(self.name or root.as_posix())
        found = _files(root)
        if not found:
            raise DataError(
                f"{root} has no dataset of Hugging Face",
                rule=self.files,
                received=", ".join(names_in(root)[:10]) or "an empty folder",
            )
        return {
            split: _Stored(str(root), split, tuple(map(str, files)))
            for split, files in found.items()
        }

    def _on_the_hub(self, name: str) -> dict[str, Any]:
        if not _NAME.fullmatch(name):
            raise DataError(
                f"{name!r:.80} is neither a path nor the name of a dataset on the Hub",
                rule="a folder, an .arrow or .parquet file, or a name such as cppe-5",
            )
        datasets = imported_library("datasets", "a dataset on the Hugging Face Hub")
        names = _called(
            name,
            lambda: datasets.get_dataset_split_names(
                name, self.config or None, revision=self.revision or None
            ),
        )
        return {
            _SPLIT.get(own, own): _Hub(name, self.config, self.revision, _SPLIT.get(own, own), own)
            for own in map(str, names)
        }


@dataclass(frozen=True)
class _Stored:
    """Rows of a split in files.

    Attributes:
        root: Path of the dataset.
        split: Name of the split.
        files: Paths of the files.
    """

    root: str
    split: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.root}#{self.split}"

    def open(self) -> Any:
        """Return the rows."""
        return ArrowRows([Path(file) for file in self.files])

    def image(self, value: Any, where: str) -> bytes:
        """Return the bytes of an image, which may be in a file inside the dataset's folder."""
        raw, path = _bytes_and_path(value, where)
        if raw is not None:
            return raw
        folder = Path(self.root) if Path(self.root).is_dir() else Path(self.root).parent
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            raise DataError(
                f"{where}: the image {path!r:.80} is outside the dataset",
                rule="images in the files, or in the folder of the dataset",
                fix="save the dataset with its images: dataset.save_to_disk(folder)",
            )
        return read_bytes(file, MAX_BYTES)


@dataclass(frozen=True)
class _Hub:
    """A split of a dataset on the Hub, which the library `datasets` has downloaded.

    Attributes:
        name: Name of the dataset.
        config: Its configuration, or "".
        revision: Its version, or "".
        split: Name of the split in visiongarden.
        own_split: Name of the split in the dataset.
    """

    name: str
    config: str
    revision: str
    split: str
    own_split: str

    def __str__(self) -> str:
        return f"{self.name}#{self.split}"

    def open(self) -> Any:
        """Return the rows."""
        datasets = imported_library("datasets", "a dataset on the Hugging Face Hub")
        options: dict[str, Any] = {"split": self.own_split, "revision": self.revision or None}
        # Versions before 4 execute the script of a dataset if they are allowed to.
        if "trust_remote_code" in inspect.signature(datasets.load_dataset).parameters:
            options["trust_remote_code"] = False
        found = _called(
            self.name,
            lambda: datasets.load_dataset(self.name, self.config or None, **options),
        )
        features = found.features.to_dict()
        for name, feature in features.items():
            if isinstance(feature, Mapping) and feature.get("_type") == "Image":
                found = found.cast_column(name, datasets.Image(decode=False))
        return _HubRows(found, features)

    def image(self, value: Any, where: str) -> bytes:
        """Return the bytes of an image, which may be in a file that was downloaded."""
        raw, path = _bytes_and_path(value, where)
        return raw if raw is not None else read_bytes(Path(path), MAX_BYTES)


class _HubRows(Sequence[Mapping[str, Any]]):
    """Rows of a dataset of the library `datasets`."""

    def __init__(self, dataset: Any, features: Mapping[str, Any]) -> None:
        self.dataset, self.features = dataset, dict(features)
        self.names = list(dataset.column_names)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[index]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column of small values, such as labels."""
        return list(self.dataset[name])


def _called(name: str, function: Any) -> Any:
    try:
        return function()
    except UserError:
        raise
    except Exception as error:  # of the other library: any
        raise DataError(
            f"the dataset {name} cannot be opened",
            rule="a path, or a dataset on the Hugging Face Hub without a script",
            received=f"{type(error).__name__}: {error!s:.300}",
        ) from error


def _files(root: Path) -> dict[str, list[Path]]:
    """Return the files of each split."""
    if root.is_file():
        return {"train": [root]}
    index = root / "dataset_dict.json"
    if index.is_file():
        data = parse_json(read_text(index).encode(), index)
        names = data.get("splits") if isinstance(data, Mapping) else None
        if not isinstance(names, list):
            raise DataError(f"{index}: `splits` is not a list of names", received=f"{data!r:.80}")
        folders = [path_inside(root, str(name), what=f"{index}: split") for name in names]
        return {_SPLIT.get(f.name, f.name): _saved(f) for f in folders}
    if (root / "state.json").is_file():
        return {"train": _saved(root)}
    found: dict[str, list[Path]] = {}
    for folder in (root, root / "data"):
        for name in names_in(folder):
            if name.endswith(_ENDINGS):
                match = _OF_FILE.search(name)
                split = match[1] if match else "train"
                found.setdefault(_SPLIT.get(split, split), []).append(folder / name)
    return found


def _saved(folder: Path) -> list[Path]:
    """Return the files of a folder that `save_to_disk` has written."""
    file = folder / "state.json"
    data = parse_json(read_text(file).encode(), file)
    listed = data.get("_data_files") if isinstance(data, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise DataError(f"{file}: `_data_files` is not a list of files", received=f"{data!r:.80}")
    if data.get("_indices_data_files") or data.get("_indices_files"):
        raise DataError(
            f"{file}: the rows are a selection of those in the files",
            fix="dataset.flatten_indices().save_to_disk(folder)",
        )
    names = [safe_name(each.get("filename"), f"{file}: filename") for each in listed]
    return [path_inside(folder, name, what=f"{file}: filename") for name in names]


def _bytes_and_path(value: Any, where: str) -> tuple[bytes | None, str]:
    """Return the bytes of an image, or the path of its file."""
    raw = value.get("bytes") if isinstance(value, Mapping) else value
    path = value.get("path") if isinstance(value, Mapping) else None
    if isinstance(raw, bytes):
        return raw, ""
    if raw is None and isinstance(path, str) and path:
        return None, path
    raise DataError(f"{where}: not an encoded image", received=f"{value!r:.80}")


def _is_image(features: Mapping[str, Any], name: str, rows: Any) -> bool:
    feature = features.get(name)
    if isinstance(feature, Mapping):
        return feature.get("_type") == "Image"
    if features or not len(rows):
        return False
    # Without a description, as other programs write files: bytes, or bytes with a path.
    value = rows[0][name]
    return isinstance(value, bytes) or (isinstance(value, Mapping) and {"bytes"} <= value.keys())


def _fields(feature: Any) -> Mapping[str, Any]:
    """Return the fields of objects: a mapping of lists, or a list of mappings."""
    while isinstance(feature, Mapping) and isinstance(feature.get("feature"), Mapping):
        if "_type" not in feature:  # a mapping with a field named "feature"
            break
        feature = feature["feature"]
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    return feature if isinstance(feature, Mapping) and "_type" not in feature else {}


def _key(feature: Any, names: Sequence[str]) -> str | None:
    fields = _fields(feature)
    return next((name for name in names if name in fields), None)


def _names(feature: Any) -> list[str] | None:
    """Return the class names of a feature, or of the feature that it repeats."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    while isinstance(feature, Mapping) and feature.get("_type") in (
        "Sequence",
        "List",
        "LargeList",
    ):
        feature = feature.get("feature")
    if not isinstance(feature, Mapping) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    return list(map(str, names)) if isinstance(names, list) and names else None


def _objects(value: Any, box: str, key: str, order: str, where: str) -> Objects:
    if isinstance(value, list | tuple):  # one mapping for each object
        value = {name: [one[name] for one in value] for name in (box, key)}
    try:
        boxes = np.array(value[box], np.float64).reshape(-1, 4)
        classes = [int(number) for number in value[key]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: the objects are damaged", received=f"{error!s:.80}") from error
    if len(boxes) != len(classes):
        raise DataError(
            f"{where}: {len(boxes)} boxes, {len(classes)} classes", rule="one class for each box"
        )
    if order == "xywh":
        boxes[:, 2:] += boxes[:, :2]
    return Objects(boxes, classes)
