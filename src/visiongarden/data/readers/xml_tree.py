"""Tree of an XML file with line numbers; document types are refused."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from visiongarden.errors import DataError
from visiongarden.storage.place import Place, read_text_bytes

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 50

MIN_ELEMENTS, BYTES_PER_ELEMENT = 1000, 8
"""Limit on the number of elements and attributes: `MIN_ELEMENTS`, and one per `BYTES_PER_ELEMENT`
bytes.

`<a/>` takes forty times its length in memory, while an element with a number has about 20 bytes.
"""


@dataclass(slots=True)
class Element:
    """One XML element.

    Attributes:
        tag: Name of the element.
        line: Line in the file.
        text: Text of the element.
        children: Child elements, in order.
        attributes: Text of each attribute.
    """

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)

    def child(self, tag: str) -> Element | None:
        """Return the first child with this tag, or None."""
        return next((item for item in self.children if item.tag == tag), None)

    def text_of(self, tag: str) -> str:
        """Return the stripped text of the first child with this tag; "" without such a child."""
        item = self.child(tag)
        return item.text.strip() if item is not None else ""

    def number(self, tag: str) -> float | None:
        """Return the number in the first child with this tag; None without such a child."""
        try:
            value = float(self.text_of(tag))
        except ValueError:
            return None
        return None if math.isnan(value) else value

    def keys(self, known: Collection[str] = ()) -> dict[str, Any]:
        """Return the children by their tags, without those in `known`.

        A value is text, a dict if the child has children, or a list of such values if the tag is
        repeated.
        """
        found: dict[str, list[Any]] = {}
        for item in self.children:
            if item.tag not in known:
                found.setdefault(item.tag, []).append(item.keys() or item.text.strip())
        return {tag: values if len(values) > 1 else values[0] for tag, values in found.items()}


def parse_xml(path: Place, max_bytes: int = MAX_BYTES) -> Element:
    """Parse an XML file and return its root element.

    Args:
        path: The file.
        max_bytes: Maximum size of the file.

    Raises:
        DataError: The file does not exist, is too large or nested too deeply, contains a document
            type, or is not XML; the message contains the line.
    """
    raw = read_text_bytes(path, max_bytes)
    builder = _Builder(path, MIN_ELEMENTS + len(raw) // BYTES_PER_ELEMENT)
    parser = builder.parser
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise DataError(
            f"{path}:{error.lineno}: not valid XML", received=expat.ErrorString(error.code)
        ) from error
    except (ValueError, LookupError) as error:  # an encoding unknown to Python
        raise DataError(f"{path}: not valid XML", received=str(error)) from error
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
        # Entities are declared in document types. Refusing these prevents exponential expansion
        # ("billion laughs") and access to other files.
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) > MAX_DEPTH:
            raise DataError(
                f"{self.path}:{self.parser.CurrentLineNumber}: elements are nested too deeply"
            )
        self.left -= 1 + len(attributes)
        if self.left < 0:
            raise DataError(
                f"{self.path}:{self.parser.CurrentLineNumber}: too many elements for its length",
                rule=f"at most {MIN_ELEMENTS}, plus one per {BYTES_PER_ELEMENT} bytes",
            )
        element = Element(tag, self.parser.CurrentLineNumber, attributes=attributes)
        self.open[-1].children.append(element)
        self.open.append(element)
        self.texts.append([])

    def _end(self, tag: str) -> None:
        # Joined once: appending each piece to the text takes quadratic time in the number of lines.
        self.open.pop().text = "".join(self.texts.pop())

    def _text(self, text: str) -> None:
        self.texts[-1].append(text)

    def _refuse(self, *_: object) -> None:
        raise DataError(
            f"{self.path}:{self.parser.CurrentLineNumber}: an annotation has a document type"
        )
