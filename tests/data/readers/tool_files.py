"""Small files of labeling tools, and reading them with their errors."""

import json

import cv2
import numpy as np

from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.reader import Source


def save(root, files, images=("a.png",), size=(50, 100)):
    """Write files (text, bytes, or values as JSON) and images of (height, width) `size`."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content))
    for name in images:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), np.zeros((*size, 3), np.uint8))
    return root


def read(reader, root, split="train", class_names=None, invalid_boxes="error"):
    """Return one split, and its errors as text."""
    errors = ErrorList(root, invalid_boxes)
    found = reader.read(Source(root, class_names, errors), split)
    return found, [str(error) for error in errors.found], errors


def one(reader, root, **arguments):
    """Return the row of the only image of a dataset without errors, and the dataset."""
    found, errors, _ = read(reader, root, **arguments)
    assert errors == []
    assert len(found) == 1
    return found.row(0), found


def notes(errors):
    return [note.what for note in errors.noted]


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()
