"""`opened`: where a data set lies, and what format it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visiongarden.data.readers import array_record, other_tools, yolo
from visiongarden.data.readers.gather import EVERY_FORMAT, READERS, unreadable
from visiongarden.errors import DataError, UserError, nearest, option
from visiongarden.storage.place import Place, place

_SHAPES = (
    "COCO JSON, YOLO txt, Pascal VOC, CSV or ArrayRecord; folders of classes (train/cat/*.jpg); or "
    "images/ beside masks/"
)


def opened(
    path: str | Path, format: str = "auto", formats: Sequence[str] = EVERY_FORMAT
) -> tuple[Place, str]:
    """The data set's root, inside its archive if it is one, and its format.

    Args:
        path: folder, file or archive.
        format: its name, or "auto" to look.
        formats: those that may be.

    Raises:
        DataError: there is nothing, or its format cannot be told.
        UserError: there is no such format.
    """
    if not Path(path).exists():
        raise DataError(f"there is no data set {path}", fix="check the path")
    root = place(path)
    if format == "auto":
        try:
            format = _guess(root, formats)
        except OSError as error:
            raise unreadable(root, error) from error
    elif format in READERS and not READERS[format].looks_like(root):
        tool = other_tools.recognize(root)
        if tool is not None:
            raise other_tools.refuse(root, tool)
    if format not in formats:
        raise UserError(f"unknown format {format!r}", fix=nearest(format, [*formats, "auto"]))
    return root, format


def _guess(path: Place, formats: Sequence[str]) -> str:
    try:
        found, problem = guesses(path, formats), None
    except DataError as error:
        found, problem = [], error
    tool = other_tools.recognize(path) if _is_doubtful(found, path) else None
    if tool is not None and (found != ["folders"] or tool.file.suffix == ".data"):
        raise other_tools.refuse(path, tool)
    if problem is not None:
        raise problem
    if len(found) == 1:
        return found[0]
    others = [] if found else guesses(path, EVERY_FORMAT)
    like = f"it looks like {' and '.join(found or others) or 'none of them'}"
    raise DataError(
        f"cannot tell the format of {path}",
        rule=_SHAPES,
        received=like + (", which holds no boxes" if others else ""),
        fix=" or ".join(option("format", name) for name in found) or None,
    )


def _is_doubtful(found: list[str], path: Place) -> bool:
    """Whether the labels may be another tool's: nothing was found, or no more than a hint."""
    return found in ([], ["folders"]) or (found == ["yolo"] and not yolo.is_surely(path))


def guesses(path: Place, formats: Sequence[str] = EVERY_FORMAT) -> list[str]:
    """The formats that a folder or file looks like; several where it could be meant either way.

    Raises:
        DataError: it looks like nothing, and why is known.
    """
    if "arrayrecord" in formats and array_record.looks_like(path):
        return ["arrayrecord"]  # its list of shards says so itself
    found, errors = [], []
    for name in formats:
        try:
            found += [name] if READERS[name].looks_like(path) else []
        except DataError as error:  # what is odd for one format may be nothing to another
            errors.append(error)
    if not found and errors:
        raise errors[0]
    if len(found) > 1:
        # A JSON, a table or a YAML beside other things may be about anything.
        found = [name for name in found if _surely(name, path)] or found
    if len(found) > 1 and "folders" in found and set(found) & {"coco", "yolo", "voc", "masks"}:
        # Labels in files say more than the names of folders.
        found.remove("folders")
    if len(found) > 1 and "csv" in found and "folders" not in found:
        # A table beside annotations of another kind is a summary of them.
        found.remove("csv")
    return found


def _surely(format: str, path: Place) -> bool:
    """A closer look, where several formats are possible; True where there is none."""
    closer = getattr(READERS[format], "is_surely", None)
    return closer is None or bool(closer(path))
