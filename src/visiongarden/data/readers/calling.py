"""Call a reader, and turn what goes wrong inside of it into one error that names the reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from visiongarden.data.readers.build import no_split
from visiongarden.data.readers.errors import unreadable
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.errors import DataError, MissingLibraryError, UserError, raised_at
from visiongarden.samples.annotations import Annotations

T = TypeVar("T")

_MEMBERS = ("class_map", "label_map", "counts", "location", "__len__", "__getitem__")


def splits_with(reader: Reader, source: Source) -> list[str]:
    """Return the names of the splits.

    Raises:
        DataError: The files cannot be read, or the reader fails or returns something else.
    """
    names = _call(reader, source, "splits", lambda: reader.splits(source))
    if isinstance(names, str) or not isinstance(names, tuple | list):
        raise _wrong(reader, source, "splits", "a tuple of names", f"{names!r:.60}")
    for name in names:
        if not isinstance(name, str) or not name:
            raise _wrong(reader, source, "splits", "a tuple of names", f"{names!r:.60}")
    return list(names)


def read_with(reader: Reader, source: Source, split: str) -> Annotations:
    """Read one split.

    Raises:
        DataError: The split does not exist or cannot be read, or the reader fails or returns
            something else.
    """
    if not _is_own(reader):  # our readers accept further names, such as `trainval`
        names = splits_with(reader, source)
        if split not in names:
            raise no_split(source.root, split, names)
    found = _call(reader, source, "read", lambda: reader.read(source, split))
    if not isinstance(found, Annotations):
        # An object of a class of the user: the members that are missing are named.
        missing = [name for name in _MEMBERS if not hasattr(found, name)]
        raise _wrong(
            reader,
            source,
            "read",
            "a visiongarden.data.Dataset, or annotations with the same members",
            f"{type(found).__name__} without {', '.join(missing)}"
            if missing
            else type(found).__name__,
        )
    return found


def _call(reader: Reader, source: Source, method: str, function: Callable[[], T]) -> T:
    try:
        return function()
    except (DataError, MissingLibraryError):  # a missing library is no defect of the files
        raise
    except OSError as error:  # no permission, or a name too long for the file system
        raise unreadable(source.root, error) from error
    except UserError as error:
        if _is_own(reader):  # the files define an invalid class map
            raise DataError(
                f"{source.root}: {error.what}",
                rule=error.rule,
                received=error.received,
                fix=error.fix,
            ) from error
        place = raised_at(error, type(reader))
        raise _failed(reader, source, method, f"{error.what} ({place})", error.rule) from error
    except Exception as error:
        if _is_own(reader):
            raise
        text = " ".join(str(error).split())
        what = f"{type(error).__name__}: {text:.200} ({raised_at(error, type(reader))})"
        raise _failed(reader, source, method, what) from error


def _is_own(reader: Reader) -> bool:
    """Return whether the reader is one of visiongarden, whose exceptions are not the user's."""
    return type(reader).__module__.startswith("visiongarden.")


def _failed(
    reader: Reader, source: Source, method: str, received: str, rule: str | None = None
) -> DataError:
    name, module = type(reader).__name__, type(reader).__module__
    return DataError(
        f"the reader {name} failed to read {source.root}",
        rule=rule or f"`{method}` raises DataError, with file and line, for files that it refuses",
        received=received,
        fix=f"correct {module}.{type(reader).__qualname__}.{method}",
    )


def _wrong(reader: Reader, source: Source, method: str, rule: str, received: str) -> DataError:
    name = type(reader).__name__
    return DataError(
        f"the reader {name} does not return {rule} from `{method}`",
        rule=f"`{method}` returns {rule}",
        received=received,
        fix=f"correct {type(reader).__module__}.{type(reader).__qualname__}.{method}",
    )
