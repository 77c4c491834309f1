"""`fingerprint`: digests of the data of a run, by which a resumed run detects changed data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.combined import CombinedAnnotations, CombinedSamples
from visiongarden.data.copies import Prints
from visiongarden.data.dataset import Dataset
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.rows import Row
from visiongarden.data.sample_table import SampleTable
from visiongarden.data.semantic_samples import SemanticSamples

_IN_MEMORY = (SampleTable, ClassSamples, SemanticSamples, tuple, list)
"""Samples whose annotations need not be read again."""

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
    if isinstance(dataset, CombinedAnnotations) and isinstance(dataset.samples, CombinedSamples):
        return _of_several(dataset, dataset.samples, prints)
    if not isinstance(dataset, Dataset) or not isinstance(dataset.samples, _IN_MEMORY):
        # The records of a custom source are read on demand, and reading all may take hours.
        return {"images": len(dataset)}
    return {
        "images": len(dataset),
        "names": _names(dataset),
        "files": blake2b(prints.marks(dataset), digest_size=16).hexdigest(),
        "annotations": _annotations(dataset, prints),
    }


def _of_several(
    dataset: CombinedAnnotations, samples: CombinedSamples, prints: Prints
) -> dict[str, Any]:
    """Return the number of images, and digests of the digests of all datasets."""
    found = [_of(part.dataset, prints) for part in samples.parts]
    digests = {}
    for key in _WORDS:
        digest = blake2b(digest_size=16)
        for each in found:
            digest.update(repr(each.get(key)).encode())
        if key == "annotations":
            digest.update(repr((dataset.weights, dataset.class_map.names)).encode())
            for part in samples.parts:
                digest.update(part.classes.tobytes() + part.known.tobytes())
            digest.update(samples.places.tobytes())
        digests[key] = digest.hexdigest()
    return {"images": len(dataset)} | digests


def _names(dataset: Dataset) -> str:
    root = dataset.root
    # Names are relative to the root: a dataset that was moved or copied is the same dataset.
    inside = f"{root if not isinstance(root, Path) or root.is_dir() else root.parent}{os.sep}"
    digest = blake2b(digest_size=16)
    if isinstance(dataset.samples, SampleTable):
        names = list(dataset.samples.names)
    else:
        names = [str(dataset.image_path(index)) for index in range(len(dataset))]
    for name in names:
        digest.update(os.fsencode(name.removeprefix(inside)) + b"\0")
    return digest.hexdigest()


def _annotations(dataset: Dataset, prints: Prints) -> str:
    digest = blake2b(digest_size=16)
    samples = dataset.samples
    if isinstance(samples, SemanticSamples):
        digest.update(prints.marks(dataset, masks=True))
        digest.update(repr((dataset.class_map.ids, samples.colors, samples.ignored)).encode())
    elif isinstance(samples, ClassSamples):
        digest.update(np.asarray(samples.classes, np.int64).tobytes())
    elif isinstance(samples, SampleTable):
        digest.update(repr(samples.scheme).encode())
        for name, array in sorted(samples.arrays.items()):
            if name in ("lines", "line_places"):
                continue  # a blank line more is no other annotation
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    else:
        for row in dataset.rows():
            _add_row(digest, row)
    return digest.hexdigest()


def _add_row(digest: Any, row: Row) -> None:
    for array in (row.boxes, row.classes, row.crowd, row.keypoints, row.labels):
        digest.update(repr(() if array is None else array.shape).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    for ring in (ring for polygons in row.polygons or () for ring in polygons or ()):
        digest.update(np.ascontiguousarray(ring).tobytes())
