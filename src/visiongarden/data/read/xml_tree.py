"""A small tree of an XML file, with line numbers; document types are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from xml.parsers import expat

from visiongarden.data.place import Place, read_bytes
from visiongarden.errors import DataError

MOST_BYTES = 16 * 2**20
MOST_DEPTH = 50


@dataclass
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


def parse_xml(path: Place) -> Element:
    """The root of a file.

    Raises:
        DataError: no such file, too large or deep, a document type, or not XML; names the line.
    """
    raw = read_bytes(path, MOST_BYTES)
    builder = _Builder(path)
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
    def __init__(self, path: Place) -> None:
        self.path, self.top = path, Element("", 0)
        self.open = [self.top]
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        # Entities are declared in document types: without these a file cannot grow or reach out.
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) > MOST_DEPTH:
            raise DataError(f"{self.path}:{self.parser.CurrentLineNumber}: nested too deeply")
        element = Element(tag, self.parser.CurrentLineNumber)
        self.open[-1].children.append(element)
        self.open.append(element)

    def _end(self, tag: str) -> None:
        self.open.pop()

    def _text(self, text: str) -> None:
        self.open[-1].text += text

    def _refuse(self, *_: object) -> None:
        raise DataError(
            f"{self.path}:{self.parser.CurrentLineNumber}: a document type in an annotation"
        )
