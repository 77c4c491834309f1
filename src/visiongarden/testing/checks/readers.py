"""Checks of readers: what they match and read, and what they do with damaged files."""

from __future__ import annotations

import contextlib
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data.dataset import as_dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers import read, splits_of
from visiongarden.data.readers.reader import Source
from visiongarden.errors import DataError
from visiongarden.samples import Sample
from visiongarden.storage import atomic_write
from visiongarden.storage.place import place
from visiongarden.testing.checks import values
from visiongarden.testing.explain import describe
from visiongarden.testing.report import Finding, failed, passed, skipped, warned
from visiongarden.testing.value_subject import ValueSubject

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".npy"}
_NO_DATA = "there is no example dataset"
_GARBAGE = (b"", b"\x00\xff{[<\n,,,", "grün\n".encode("utf-16"))


class ReaderSubject(ValueSubject):
    """A reader under test, with a copy of an example dataset.

    The dataset is the path in `inputs`, or `examples = {"files": {path: content}}` of the class:
    text, bytes, or the (height, width) of a gray image.
    """

    @contextlib.contextmanager
    def dataset(self) -> Iterator[Path | None]:
        """Yield a copy of the dataset in a temporary folder; None without any."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "dataset"
            if self.inputs is not None:
                source = Path(self.inputs)
                if source.is_dir():
                    shutil.copytree(source, root)
                else:
                    root = root.with_name(source.name)
                    shutil.copy(source, root)
            elif files := self.examples.get("files"):
                write_files(root, files)
            else:
                yield None
                return
            yield root


def write_files(root: Path, files: Mapping[str, Any]) -> None:
    """Write the files of an example: text, bytes, or the (height, width) of a gray image."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, tuple):
            content = cv2.imencode(path.suffix, np.full((*content, 3), 128, np.uint8))[1].tobytes()
        data = content if isinstance(content, bytes) else str(content).encode()
        atomic_write(path, data, durable=False)


def matches(subject: ReaderSubject) -> Finding:
    """Check that the reader matches its own files and no others, and parses nothing."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), {"notes.md": "notes", "code/main.py": "pass"})
        found = subject.value.matches(Source(place(folder)))
        if found:
            return failed(
                f"the reader matches a folder of other files with {found:g}",
                "return 0 without a file that the format has",
            )
    with subject.dataset() as root:
        if root is None:
            return passed("no other files")
        score = subject.value.matches(Source(place(root)))
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            return failed(f"matches returns {score!r:.60}", "return a number from 0 to 1")
        for path in _annotation_files(root):
            atomic_write(path, _GARBAGE[1], durable=False)
        try:
            subject.value.matches(Source(place(root)))
        except Exception as error:
            return failed(
                f"matches fails on damaged files: {describe(error)}",
                "decide by the names of files; parse nothing",
            )
    if not score:
        return warned("the reader does not match its files", "the reader is used only by its name")
    return passed(f"{score:g} for its files, 0 for others")


def splits(subject: ReaderSubject) -> Finding:
    """Check that the names of the splits are a tuple of text."""
    with subject.dataset() as root:
        if root is None:
            return skipped(_NO_DATA)
        found = subject.value.splits(Source(place(root)))
    is_named = isinstance(found, tuple | list) and all(isinstance(n, str) and n for n in found)
    if not is_named or not found:
        return failed(f"splits returns {found!r:.80}", 'return a tuple of names: ("train", "val")')
    return passed(", ".join(found))


def reads(subject: ReaderSubject) -> Finding:
    """Check that every split is read, with valid annotations."""
    with subject.dataset() as root:
        if root is None:
            return _no_data(subject)
        counts = {split: len(dataset) for split, dataset in _read(subject, root).items()}
    if not sum(counts.values()):
        return failed("no image is read", "return a sample for each image of the split")
    return passed(", ".join(f"{name}: {count} images" for name, count in counts.items()))


def repeatable(subject: ReaderSubject) -> Finding:
    """Check that reading again, and from an archive, returns the same annotations."""
    with subject.dataset() as root:
        if root is None:
            return skipped(_NO_DATA)
        first = _contents(_read(subject, root))
        if _contents(_read(subject, root)) != first:
            return failed("reading twice returns different annotations", "sort the names of files")
        if not root.is_dir():
            return passed("twice")
        archive = root.with_suffix(".zip")
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(root.rglob("*")):
                file.write(path, path.relative_to(root.parent))
        try:
            same = _contents(_read(subject, archive)) == first
        except Exception as error:
            return failed(
                f"the dataset as a .zip fails: {describe(error)}",
                "use the methods of source.root: glob, iterdir, is_file, read_text, /",
            )
    if not same:
        return failed("the dataset as a .zip has other annotations", "start from source.root")
    return passed("twice, and from a .zip")


def pickles(subject: ReaderSubject) -> Finding:
    """Check that the annotations reach the worker processes of a loader."""
    with subject.dataset() as root:
        if root is None:
            return skipped(_NO_DATA)
        for dataset in _read(subject, root).values():
            pickle.loads(pickle.dumps(dataset))  # noqa: S301  written in the line itself
    return passed("annotations are pickled")


def damaged(subject: ReaderSubject) -> Finding:
    """Check that damaged files give a DataError or collected errors, and nothing else."""
    count = 0
    with subject.dataset() as root:
        if root is None:
            return skipped(_NO_DATA)
        names = [path.relative_to(root) for path in _annotation_files(root)]
    for name in names:
        for garbage in (*_GARBAGE, None):
            with subject.dataset() as root:
                path = (root or Path()) / name
                whole = path.read_bytes()
                content = whole[: len(whole) // 2] if garbage is None else garbage
                atomic_write(path, content, durable=False)
                error = _raw_error(subject, root or Path())
            count += 1
            if error is not None and not isinstance(error, DataError | OSError):
                what = "cut in half" if garbage is None else f"with the content {garbage!r}"
                return failed(
                    f"{name.as_posix()} {what} fails: {describe(error)}",
                    "source.errors.add(f'{file}:{line}', what) for one label; raise DataError for "
                    "a file that cannot be read at all",
                )
    return passed(f"{count} damaged files") if count else skipped("there are only images")


def _raw_error(subject: ReaderSubject, root: Path) -> Exception | None:
    """Return the error of the reader's own methods, which `vg.read` would replace."""
    try:
        source = Source(place(root), None, ErrorList(place(root)))
        for split in subject.value.splits(source):
            len(subject.value.read(source, split))
    except Exception as error:
        return error
    return None


def _read(subject: ReaderSubject, root: Path) -> dict[str, Any]:
    opened = place(root)
    return {
        split: as_dataset(read(root, split=split, reader=subject.value), split)
        for split in splits_of(opened, subject.value)
    }


def _contents(splits_: Mapping[str, Any]) -> list[Any]:
    """Return what was read as plain values, without the location of the dataset."""
    found = []
    for split, dataset in sorted(splits_.items()):
        for index in range(len(dataset)):
            sample: Sample = dataset[index]
            objects = sample.instances
            arrays = {
                "size": sample.info.original_size,
                "boxes": objects.boxes,
                "classes": objects.classes,
                "keypoints": None if objects.keypoints is None else objects.keypoints.values,
                "areas": None if objects.masks is None else objects.masks.area(),
                "labels": sample.labels,
            }
            plain = {
                k: None if v is None else str(np.asarray(v).tolist()) for k, v in arrays.items()
            }
            found.append([split, Path(str(sample.info.source)).name, plain])
    return found


def _annotation_files(root: Path) -> list[Path]:
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    return [path for path in files if path.is_file() and path.suffix.lower() not in _IMAGES]


def _no_data(subject: ReaderSubject) -> Finding:
    return warned(
        f"{_NO_DATA} for {subject.name}",
        'in the class: examples: ClassVar = {"files": {"train.txt": "...", "a.png": (32, 48)}}; or '
        "inputs=path",
    )


CHECKS: dict[str, Callable[[ReaderSubject], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
    "matches": matches,
    "splits": splits,
    "reads": reads,
    "repeatable": repeatable,
    "pickles": pickles,
    "damaged": damaged,
}
"""Checks of a reader by name, in the order in which they run."""
