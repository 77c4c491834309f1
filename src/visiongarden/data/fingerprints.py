"""`fingerprint`: digests of the data of a run, by which a resumed run detects changed data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.copies import Prints
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.table import Table

_WORDS = {
    "names": "the image names differ",
    "files": "the image files differ",
    "annotations": "the annotations differ",
}


def fingerprint(
    datasets: Mapping[str, Any], prints: Prints | None = None
) -> dict[str, dict[str, Any]]:
    """Return the number of images and digests of images and annotations of each split.

    The digest of an image file covers its size and its last bytes, which were already read when the
    splits were compared. It covers neither times nor the folder, so that a copy of a dataset has
    the same fingerprint. 100,000 images take one second.

    Args:
        datasets: Datasets by the names of their splits ("train", "val").
        prints: Digests of their image files that were computed earlier.

    Returns:
        For each split: {"images": number, "names": digest, "files": digest, "annotations": digest}.

    Raises:
        DataError: A file cannot be read.
    """
    prints = prints or Prints()
    return {split: _of(dataset, prints) for split, dataset in datasets.items()}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences of two fingerprints, one line per split."""
    lines = []
    for split in sorted(before.keys() & now.keys()):
        old, new = before[split], now[split]
        found = [text for key, text in _WORDS.items() if old.get(key) != new.get(key)]
        if old.get("images") != new.get("images"):
            # With another number of images the digests always differ, so only the number is
            # reported.
            found = [f"{new.get('images')} images instead of {old.get('images')}"]
        if found:
            lines.append(f"{split}: {', '.join(found)}")
    return lines


def _of(dataset: Any, prints: Prints) -> dict[str, Any]:
    ours = isinstance(dataset, DetectionDataset | ClassificationDataset | SegmentationDataset)
    custom = isinstance(dataset, DetectionDataset) and not isinstance(
        dataset.examples, Table | tuple | list
    )
    if not ours or custom:
        # The records of a custom source are read on demand, and reading all may take hours.
        return {"images": len(dataset)}
    return {
        "images": len(dataset),
        "names": _names(dataset),
        "files": blake2b(prints.marks(dataset), digest_size=16).hexdigest(),
        "annotations": _annotations(dataset, prints),
    }


def _names(dataset: Any) -> str:
    root = dataset.root
    # Names are relative to the root: a dataset that was moved or copied is the same dataset.
    inside = f"{root if not isinstance(root, Path) or root.is_dir() else root.parent}{os.sep}"
    digest = blake2b(digest_size=16)
    if isinstance(dataset, DetectionDataset) and isinstance(dataset.examples, Table):
        names = list(dataset.examples.names)
    else:
        names = [str(dataset.image_path(index)) for index in range(len(dataset))]
    for name in names:
        digest.update(os.fsencode(name.removeprefix(inside)) + b"\0")
    return digest.hexdigest()


def _annotations(dataset: Any, prints: Prints) -> str:
    digest = blake2b(digest_size=16)
    if isinstance(dataset, SegmentationDataset):
        digest.update(prints.marks(dataset, masks=True))
        digest.update(repr((dataset.class_map.ids, dataset.colors, dataset.ignored)).encode())
    elif isinstance(dataset, ClassificationDataset):
        digest.update(np.asarray(dataset.classes, np.int64).tobytes())
    elif isinstance(dataset.examples, Table):
        for name, array in sorted(dataset.examples.arrays.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    else:
        for example in dataset.examples:
            _add_example(digest, example)
    return digest.hexdigest()


def _add_example(digest: Any, example: Any) -> None:
    for array in (example.boxes, example.classes, example.crowd):
        digest.update(repr(np.shape(array)).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    for ring in (ring for polygons in example.polygons or () for ring in polygons or ()):
        digest.update(np.ascontiguousarray(ring).tobytes())
