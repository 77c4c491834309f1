"""Annotation files of each split of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import no_split
from visiongarden.data.readers.other_tools import tool_of
from visiongarden.data.readers.split_names import SPLIT_OF
from visiongarden.storage.place import Place

_MANY, _TRIED = 100, 20
"""Of a folder with more than `_MANY` files, the first `_TRIED` are opened to recognize a tool."""

_INNER = ("", "images", "annotations", "labels")
"""Folders, inside a dataset or a split, in which annotation files are searched."""


def tool_files(root: Place, tool: str, *suffixes: str) -> dict[str, list[Place]]:
    """Return the files of each split that start as those of a labeling tool do.

    Args:
        root: Folder, or a single file.
        tool: Name of the tool's reader.
        suffixes: Suffixes of its files.
    """
    return split_files(root, suffixes, is_own=lambda file: tool_of(file) == tool)


def split_files(
    root: Place,
    suffixes: tuple[str, ...],
    inner: Sequence[str] = _INNER,
    is_own: Callable[[Place], bool] | None = None,
    limit: int | None = None,
) -> dict[str, list[Place]]:
    """Return the annotation files of each split.

    Splits are folders (`train`, `valid` or `val`, `test`), or files with these names. Without
    either, all files are those of `train`.

    Args:
        root: Folder, or a single file.
        suffixes: Suffixes of annotation files.
        inner: Folders, in the root or in the folder of a split, that contain annotation files.
        is_own: Whether the content of a file is that of the format. In a folder of many files, none
            is opened if the first of them are not.
        limit: Number of files of each folder that are returned, if all of them are not needed.
    """
    if root.is_file():
        matches = root.name.endswith(suffixes) and (is_own is None or is_own(root))
        return {"train": [root]} if matches else {}
    found: dict[str, list[Place]] = {}
    for name, split in SPLIT_OF.items():
        files = _in_folders(root / name, suffixes, inner, is_own, limit)
        files += [
            file
            for folder in inner
            if folder
            for file in _in_folders(root / folder / name, suffixes, ("",), is_own, limit)
        ]
        if files:
            found.setdefault(split, []).extend(files)
    if found:
        return found
    files = _in_folders(root, suffixes, inner, is_own, limit)
    if files and all(file.stem in SPLIT_OF for file in files):
        for file in files:
            found.setdefault(SPLIT_OF[file.stem], []).append(file)
        return found
    return {"train": files} if files else {}


def _in_folders(
    top: Place,
    suffixes: tuple[str, ...],
    inner: Sequence[str],
    is_own: Callable[[Place], bool] | None,
    limit: int | None,
) -> list[Place]:
    found: list[Place] = []
    for folder in [top / name if name else top for name in inner]:
        names = names_in(folder, *suffixes)[:limit]
        # Before the paths of all files are made, which takes longer than the rest.
        tried = names[:_TRIED] if is_own is not None and len(names) > _MANY else ()
        if tried and is_own is not None and not any(is_own(folder / name) for name in tried):
            continue
        files = [folder / name for name in names]
        found += files if is_own is None else filter(is_own, files)
    return found


def files_of(root: Place, files: Mapping[str, list[Place]], split: str) -> list[Place]:
    """Return the files of one split.

    Raises:
        DataError: The split does not exist.
    """
    if split not in files:
        raise no_split(root, split, files)
    return files[split]
