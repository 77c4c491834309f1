"""`opened`: locate a dataset and choose its reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visiongarden import plugins
from visiongarden.data.file_names import listed_once
from visiongarden.data.readers import other_tools
from visiongarden.data.readers.errors import unreadable
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.errors import DataError, UserError, nearest, option
from visiongarden.storage import similar
from visiongarden.storage.place import Place, place

AUTO = "auto"

_LISTED = 5

PLAUSIBLE = 0.5
"""Score of a plausible guess: labels of an unsupported tool would fit as well."""


def opened(path: str | Path, reader: Any = AUTO) -> tuple[Place, Reader]:
    """Return the root of a dataset, inside its archive if it is one, and its reader.

    Args:
        path: Folder, file or archive.
        reader: Name, mapping with `type` and fields, or value of the reader; "auto" chooses it.

    Raises:
        DataError: The path does not exist, or its format cannot be determined.
        UserError: The reader does not exist, or a field of it is not valid.
    """
    with plugins.imported_by_name():
        chosen = None if reader == AUTO else reader_of(reader)
    if not Path(path).exists():
        if chosen is not None and chosen.takes_name:
            return Path(path), chosen
        raise DataError(f"the dataset {path} does not exist", fix=similar(Path(path)))
    root = place(path)
    try:
        if chosen is None:
            return root, _guess(root)
        _refuse_other_files(root, chosen)
    except OSError as error:
        raise unreadable(root, error) from error
    return root, chosen


def reader_of(reader: Any) -> Reader:
    """Return the reader of a name, a mapping with `type` and fields, or a reader itself.

    Raises:
        UserError: There is no such reader, or a field of it is not valid.
    """
    if isinstance(reader, Reader):
        return reader
    if not isinstance(reader, str | Mapping):
        raise UserError(
            f"reader is of type {type(reader).__name__}",
            rule='"auto", the name of a reader, a mapping with `type` and fields, or a Reader',
            fix='reader={"type": "VOC", "one_based": True}',
        )
    name = reader if isinstance(reader, str) else reader.get("type")
    if not isinstance(name, str):
        raise UserError(
            "reader has no type", rule="the name of a reader", fix=option("reader", "COCO")
        )
    known = name in Reader.kinds() or bool(plugins.providing("reader", name))
    if not known and ">" not in name and ":" not in name:
        raise UserError(
            f"unknown reader {name!r}",
            rule="the name of a registered reader; import the module of your own "
            "(on the command line: --import MODULE)",
            fix=_nearest(name),
        )
    return Reader.from_dict({"type": name} if isinstance(reader, str) else reader)


def _nearest(name: str) -> str:
    """Return the names of readers that are similar to a name, whatever its case."""
    names = [*Reader.kinds(), *(plugin.name for plugin in plugins.of_kind("reader"))]
    folded = {kind.lower(): kind for kind in names}
    if name.lower() in folded:
        return option("reader", folded[name.lower()])
    hint = nearest(name.lower(), folded)
    # The names in the hint are in lower case, and are spelled as they are registered.
    return re.sub(r"\w+", lambda word: folded.get(word[0], word[0]), hint)


def scores(root: Place) -> dict[str, float]:
    """Return the score of each registered reader that matches, by name, the best first."""
    source = Source(root)
    found: dict[str, float] = {}
    with listed_once():
        for name, kind in Reader.kinds().items():
            # A reader with a field that has no default is used only if it is named.
            if any(field.is_required() for field in kind.model_fields.values()):
                continue
            score = _score(name, kind(), source)
            if score > 0:
                found[name] = score
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _score(name: str, reader: Reader, source: Source) -> float:
    try:
        return float(reader.matches(source))
    except OSError:
        raise
    except DataError:
        return 0.0  # the files that the reader looked at are not those of its format
    except Exception as error:  # a reader of the user; any exception
        raise DataError(
            f"the reader {name} failed to match {source.root}",
            rule="`matches` returns a number from 0 to 1",
            received=f"{type(error).__name__}: {error!s:.200}",
            fix=f"correct {type(reader).__module__}.{type(reader).__qualname__}.matches",
        ) from error


def candidates(root: Place) -> dict[str, float]:
    """Return the readers with the best score, by name; several if the format is ambiguous."""
    found = scores(root)
    best = max(found.values(), default=0.0)
    return {name: score for name, score in found.items() if score == best}


def _guess(root: Place) -> Reader:
    best = candidates(root)
    names = list(best)
    tool = other_tools.recognize(root) if _is_doubtful(best) else None
    if tool is not None and (names != ["ClassFolders"] or tool.file.suffix == ".data"):
        raise other_tools.refuse(root, tool)
    if len(names) == 1:
        return Reader.kinds()[names[0]]()
    raise DataError(
        f"the format of {root} cannot be determined",
        rule=_files(names)
        if names
        else f"files of one reader: {', '.join(sorted(Reader.kinds()))}; `visiongarden list "
        "reader` describes them",
        received=f"it looks like {_listed(best) or 'none of these formats'}",
        fix=" or ".join(option("reader", name) for name in names)
        or f"{option('reader', 'Images')} for images without annotations, or import the module of "
        f"your own reader (on the command line: --import MODULE){_of_packages()}",
    )


def _of_packages() -> str:
    """Name the readers of packages that are not imported, because a dataset imports nothing."""
    found = [
        f"{option('reader', plugin.name)} of {plugin.package}"
        for plugin in plugins.of_kind("reader")
        if plugin.name not in Reader.kinds()
    ]
    return f", or {', '.join(found[:_LISTED])}" if found else ""


def _is_doubtful(best: Mapping[str, float]) -> bool:
    """Return whether the labels may be those of an unsupported tool.

    That is the case if no reader matches, or only one that matches on weak evidence.
    """
    return len(best) < 2 and (
        list(best) in ([], ["ClassFolders"]) or max(best.values()) <= PLAUSIBLE
    )


def _files(names: Iterable[str]) -> str:
    """Describe the files of formats in one line."""
    kinds = Reader.kinds()
    return "files of one format; " + "; ".join(f"{name}: {kinds[name].files}" for name in names)


def _refuse_other_files(root: Place, reader: Reader) -> None:
    """Refuse files that a named reader of visiongarden cannot read, and another one can.

    A reader of the user need not have `matches`.
    """
    if not type(reader).__module__.startswith("visiongarden."):
        return
    name = type(reader).__name__
    if _score(name, reader, Source(root)) > 0:
        return
    tool = other_tools.recognize(root)
    if tool is not None:
        raise other_tools.refuse(root, tool)
    best = candidates(root)
    if best and max(best.values()) > PLAUSIBLE:
        raise DataError(
            f"{root} has no files that the reader {name} reads",
            rule=reader.files,
            received=f"it looks like {_listed(best)}",
            fix=" or ".join(option("reader", other) for other in best),
        )


def _listed(best: Mapping[str, float]) -> str:
    return " and ".join(f"{name} ({score:g})" for name, score in best.items())
