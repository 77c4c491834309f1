"""Cache of the labels of large datasets, valid until one of their files changes.

There is one entry per root and reader settings. It is valid while the state of every file below the
root and in the folders of the images is unchanged: name, length, and modification and status-change
times in nanoseconds, the criteria by which git's index detects a changed file. An entry contains
its own checksum, is written to a temporary file and renamed, and holds no executable content; see
`visiongarden.caches` for its place.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visiongarden.caches import cache_folder
from visiongarden.data.dataset import Dataset
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.sample_table import SampleTable
from visiongarden.storage import atomic_write
from visiongarden.storage.place import Member, Place
from visiongarden.types import ClassMap, LabelMap

if TYPE_CHECKING:
    # At run time, the readers import this module.
    from visiongarden.data.readers.reader import Reader

LARGE = 2000
"""Minimum number of images of a split that is cached."""

_VERSION = 5
_MAX_BYTES = 4 * 2**30

_KINDS = {kind.__name__: kind for kind in (SampleTable, ClassSamples)}


CLOCK_TICK = 20_000_000
"""Nanoseconds by which the times of files may lag behind the clock."""


def load(root: Place, reader: Reader, settings: Sequence[Any]) -> Dataset | None:
    """Return the split that was cached for these settings, or None if a file has changed since."""
    base = _base(root, reader)
    if base is None:
        return None
    try:
        file = _entry(root, base, settings)
        if file is None or not file.is_file() or file.stat().st_size > _MAX_BYTES:
            return None
        raw = file.read_bytes()
        # Layout: SHA-256 of all that follows, length of the JSON header, JSON header, table.
        digest, head_length = raw[:32], int.from_bytes(raw[32:40], "big")
        if hashlib.sha256(raw[32:]).digest() != digest:
            return None
        head = json.loads(raw[40 : 40 + head_length])
        if head["state"] != _state([Path(name) for name in head["folders"]])[0]:
            return None
        class_map = ClassMap(tuple(head["names"]), tuple(head["ids"]))
        located = reader.located(root)
        kind = _KINDS[head["samples"]]
        samples = kind.from_bytes(raw[40 + head_length :], class_map, located)
        extra, categories = dict(head["extra"]), tuple(head["categories"])
        notes, labels = list(head["notes"]), head["label_map"]
        label_map = labels and LabelMap(tuple(labels[0]), tuple(labels[1]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None  # a damaged entry counts as missing: the dataset is read again
    return Dataset(
        class_map,
        samples,
        head["split"],
        root,
        head["dropped"],
        extra,
        categories,
        notes,
        label_map,
    )


def save(root: Place, reader: Reader, settings: Sequence[Any], found: Any, since: int) -> Any:
    """Cache a split if it is large, and return it.

    Splits of images with one class each are cached only if their labels are in records: the names
    of folders are read as fast.

    Args:
        root: Root of the dataset.
        reader: Reader of the dataset.
        settings: Settings of the reader.
        found: The split as it was read.
        since: Time in nanoseconds at which reading began.
    """
    if not isinstance(found, Dataset) or len(found) < LARGE:
        return found
    samples = found.samples
    names: Sequence[str] = ()
    if isinstance(samples, SampleTable):
        # Records are in one folder, whatever the texts of their locations are.
        names = () if reader.takes_name else samples.names
    elif not (isinstance(samples, ClassSamples) and reader.takes_name):
        return found
    base = _base(root, reader)
    if base is None:
        return found
    with suppress(OSError, RuntimeError):  # reading works without a cache, e.g. on a full disk
        file = _entry(root, base, settings)
        if file is None:
            return found
        folders = _folders(base, names)
        state, newest = _state(folders)
        # A file that was edited while it was read may have been read as it was before.
        if newest >= since - CLOCK_TICK:
            return replace(found, root=root)
        head = {
            "samples": type(samples).__name__,
            "state": state,
            "folders": list(map(str, folders)),
            "names": found.class_map.names,
            "ids": found.class_map.ids,
            "split": found.split,
            "dropped": found.dropped,
            "extra": found.extra,
            "categories": found.categories,
            "notes": found.notes,
            "label_map": found.label_map and (found.label_map.names, found.label_map.units),
        }
        text = json.dumps(head).encode()
        body = len(text).to_bytes(8, "big") + text + samples.to_bytes()
        atomic_write(file, hashlib.sha256(body).digest() + body, durable=False)
    return replace(found, root=root)


def _base(root: Place, reader: Reader) -> Place | None:
    """Return where the files of a dataset are; None if what was read may not be cached.

    A reader of the user may change while its fields and the files do not.
    """
    is_own = type(reader).__module__.startswith("visiongarden.")
    return reader.stored_in(root) if is_own else None


def _entry(root: Place, base: Place, settings: Sequence[Any]) -> Path | None:
    """Return the file of an entry; a newer state of the same root and settings overwrites it."""
    folder = cache_folder("indexes")
    if folder is None:
        return None
    archive, inner = (base.archive, base.inner) if isinstance(base, Member) else (base, "")
    key = json.dumps([_VERSION, str(archive.absolute()), str(root), inner, list(settings)])
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.index"


def _folders(root: Place, names: Iterable[str]) -> list[Path]:
    """Return the dataset's root and the folders outside of it that contain its images."""
    if isinstance(root, Member):
        return [root.archive.absolute()]
    top = (root if root.is_dir() else root.parent).resolve()
    parents = {(name.rpartition("#")[0] or name).rpartition(os.sep)[0] for name in names}
    outside = {Path(name).resolve() for name in parents}
    return [top, *sorted(p for p in outside if not p.is_relative_to(top))]


def _state(folders: Sequence[Path]) -> tuple[str, int]:
    """Return a digest of names, lengths and times of all files below folders; the latest time."""
    digest, newest = hashlib.sha256(), 0
    for folder in folders:
        if folder.is_file():
            newest = max(newest, _add(digest, str(folder), folder.stat()))
        waiting = [str(folder)] if folder.is_dir() else []
        while waiting:
            top = waiting.pop()
            digest.update(os.fsencode(top))
            with os.scandir(top) as entries:
                for entry in sorted(entries, key=lambda e: e.name):
                    if entry.is_dir():
                        waiting.append(entry.path)
                    else:
                        newest = max(newest, _add(digest, entry.name, entry.stat()))
    return digest.hexdigest(), newest


def _add(digest: Any, name: str, state: os.stat_result) -> int:
    # Status-change time and inode detect a file replaced by one of equal size and modification
    # time.
    line = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    digest.update(os.fsencode(name) + repr(line).encode())
    return max(state.st_mtime_ns, state.st_ctime_ns)
