"""Boxes of Darknet's label files: class, center x, center y, width, height as fractions."""

from __future__ import annotations

from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import Label, read_text, row, size_of
from visiongarden.data.readers.geometry import numbers
from visiongarden.data.readers.plain_values import whole
from visiongarden.data.rows import Row
from visiongarden.errors import DataError
from visiongarden.storage.place import Place
from visiongarden.types import ImageSize


def row_of_text(image: Place, file: Place, count: int, errors: ErrorList) -> Row | None:
    """Return the row of an image and its label file; None if the image cannot be read.

    Args:
        image: The image.
        file: Its label file. If it does not exist, the image is added to `errors.unlabeled`.
        count: Number of classes.
        errors: Collector of errors.
    """
    size = size_of(image, errors)
    if size is None:
        return None
    if not file.is_file():
        errors.unlabeled.append(str(image))
        return row(image, size, [], errors)
    try:
        lines = read_text(file).splitlines()
    except DataError as error:
        errors.add_error(error, "unreadable")
        return row(image, size, [], errors, 1)
    given = [(n, line.split()) for n, line in enumerate(lines, start=1) if line.strip()]
    found = [_label(f"{file}:{n}", words, size, count, errors) for n, words in given]
    labels = [label for label in found if label is not None]
    return row(image, size, labels, errors, len(given))


def _label(
    where: str, words: list[str], size: ImageSize, count: int, errors: ErrorList
) -> Label | None:
    values = numbers(words[1:], nan=True)
    if len(words) != 5 or values is None:
        line = " ".join(words)
        errors.add(where, f"the line is {line!r:.80}; expected class and four numbers")
        return None
    index = errors.shifted(whole(words[0]))
    errors.ids[index if index is not None else words[0][:40]] += 1
    if index is None or not 0 <= index < count:
        what = f"class {words[0]:.40} is outside the class map of {count}, 0 to {count - 1}"
        errors.add(where, what, "id")
        return None
    # Values between 1 and 2 are reported later, as boxes outside of the image.
    if any(value > 2 for value in values):
        what = f"values up to {max(values):g}, apparently pixels; expected fractions from 0 to 1"
        errors.add(where, what, "pixels")
        return None
    x, y, w, h = values
    width, height = size[1], size[0]
    box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    return Label(where, box, index)
