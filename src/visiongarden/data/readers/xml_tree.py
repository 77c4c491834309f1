"""A small tree of an XML file, with line numbers; document types are refused."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from visiongarden.errors import DataError
from visiongarden.storage.place import Place, read_text_bytes

MOST_BYTES = 16 * 2**20
MOST_DEPTH = 50

MIN_ELEMENTS, BYTES_PER_ELEMENT = 1000, 8
"""`<a/>` takes forty times its length in memory; an element with a number has 20 bytes."""


@dataclass(slots=True)
class Element:
    """One element: tag, line in the file, text, children."""

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, tag: str) -> Element | None:
        """The first child of that name."""
        return next((item for item in self.children if item.tag == tag), None)

    def text_of(self, tag: str) -> str:
        """Text of the first child of that name, without space around it; "" where none is."""
        item = self.child(tag)
        return item.text.strip() if item is not None else ""

    def number(self, tag: str) -> float | None:
        """Number in the first child of that name; None where there is none."""
        try:
            value = float(self.text_of(tag))
        except ValueError:
            return None
        return None if math.isnan(value) else value

    def keys(self, known: Collection[str] = ()) -> dict[str, Any]:
        """The children but the known ones, by their tags.

        A value is text, the keys of what has children of its own, or the list of those values where
        a tag is repeated.
        """
        found: dict[str, list[Any]] = {}
        for item in self.children:
            if item.tag not in known:
                found.setdefault(item.tag, []).append(item.keys() or item.text.strip())
        return {tag: values if len(values) > 1 else values[0] for tag, values in found.items()}


def parse_xml(path: Place) -> Element:
    """The root of a file.

    Raises:
        DataError: no such file, too large or deep, a document type, or not XML; names the line.
    """
    raw = read_text_bytes(path, MOST_BYTES)
    builder = _Builder(path, MIN_ELEMENTS + len(raw) // BYTES_PER_ELEMENT)
    parser = builder.parser
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise DataError(
            f"{path}:{error.lineno}: not XML", received=expat.ErrorString(error.code)
        ) from error
    except (ValueError, LookupError) as error:  # an encoding that Python does not know
        raise DataError(f"{path}: not XML", received=str(error)) from error
    return builder.top.children[0]


class _Builder:
    def __init__(self, path: Place, max_elements: int) -> None:
        self.path, self.top = path, Element("", 0)
        self.open, self.texts = [self.top], [[]]  # type: ignore[var-annotated]
        self.left = max_elements
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        # Entities are declared in document types: without these a file cannot grow or reach out.
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) > MOST_DEPTH:
            raise DataError(f"{self.path}:{self.parser.CurrentLineNumber}: nested too deeply")
        self.left -= 1
        if self.left < 0:
            raise DataError(
                f"{self.path}:{self.parser.CurrentLineNumber}: too many elements for its length",
                rule=f"{MIN_ELEMENTS} and one for each {BYTES_PER_ELEMENT} bytes",
            )
        element = Element(tag, self.parser.CurrentLineNumber)
        self.open[-1].children.append(element)
        self.open.append(element)
        self.texts.append([])

    def _end(self, tag: str) -> None:
        # Joined once: adding up piece by piece takes the square of the number of line ends.
        self.open.pop().text = "".join(self.texts.pop())

    def _text(self, text: str) -> None:
        self.texts[-1].append(text)

    def _refuse(self, *_: object) -> None:
        raise DataError(
            f"{self.path}:{self.parser.CurrentLineNumber}: a document type in an annotation"
        )
