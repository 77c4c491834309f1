"""`opened`: locate a dataset and detect its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visiongarden.data.readers import array_record, other_tools, yolo
from visiongarden.data.readers.gathering import CLOSER_CHECKS, EVERY_FORMAT, READERS, unreadable
from visiongarden.errors import DataError, UserError, nearest, option
from visiongarden.storage.place import Place, place

_SHAPES = (
    "COCO JSON, YOLO txt, Pascal VOC, CSV or ArrayRecord; folders of classes (train/cat/*.jpg); or "
    "images/ beside masks/"
)


def opened(
    path: str | Path, format: str = "auto", formats: Sequence[str] = EVERY_FORMAT
) -> tuple[Place, str]:
    """Return the root of a dataset, inside its archive if it is one, and its format.

    Args:
        path: Folder, file or archive.
        format: Name of the format, or "auto" to detect it.
        formats: Formats to choose from.

    Raises:
        DataError: The path does not exist, or its format cannot be determined.
        UserError: The format does not exist.
    """
    if not Path(path).exists():
        raise DataError(f"the dataset {path} does not exist", fix="check the path")
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
    like = f"it looks like {' and '.join(found or others) or 'none of these formats'}"
    raise DataError(
        f"the format of {path} cannot be determined",
        rule=_SHAPES,
        received=like + (", which has no boxes" if others else ""),
        fix=" or ".join(option("format", name) for name in found) or None,
    )


def _is_doubtful(found: list[str], path: Place) -> bool:
    """Return whether the labels may be those of an unsupported tool.

    That is the case if no format matches, or only one that matches on weak evidence.
    """
    return found in ([], ["folders"]) or (found == ["yolo"] and not yolo.is_surely(path))


def guesses(path: Place, formats: Sequence[str] = EVERY_FORMAT) -> list[str]:
    """Return the formats that a folder or file matches; several if it is ambiguous.

    Raises:
        DataError: No format matches, and the reason is known.
    """
    if "arrayrecord" in formats and array_record.looks_like(path):
        return ["arrayrecord"]  # unambiguous: dataset.json contains the name of the format
    found, errors = [], []
    for name in formats:
        try:
            found += [name] if READERS[name].looks_like(path) else []
        except DataError as error:  # an error in one format may be irrelevant to another
            errors.append(error)
    if not found and errors:
        raise errors[0]
    if len(found) > 1:
        # A JSON, CSV or YAML file beside other formats may contain anything.
        found = [name for name in found if _surely(name, path)] or found
    if len(found) > 1 and "folders" in found and set(found) & {"coco", "yolo", "voc", "masks"}:
        # Label files are stronger evidence than folder names.
        found.remove("folders")
    if len(found) > 1 and "csv" in found and "folders" not in found:
        # A table beside annotations of another format is usually a summary of them.
        found.remove("csv")
    return found


def _surely(format: str, path: Place) -> bool:
    """Return the result of the format's closer check, or True without such a check."""
    closer = CLOSER_CHECKS.get(format)
    return closer is None or bool(closer(path))
