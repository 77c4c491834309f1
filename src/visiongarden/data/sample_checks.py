"""Check samples that no reader has validated, such as those that a program has made."""

from __future__ import annotations

import numpy as np

from visiongarden.data.error_list import all_valid, wrong_rotated_box, wrong_with
from visiongarden.errors import DataError
from visiongarden.samples import Instances, RotatedBoxes, Sample
from visiongarden.types import ClassMap, ImageSize


def check_sample(sample: Sample, class_map: ClassMap, where: str) -> None:
    """Check that the objects of a sample have classes that exist and boxes in their image.

    A loss does not notice either: it learns wrong boxes, or no class.

    Args:
        sample: Sample whose annotations are in pixels of the image as stored.
        class_map: Names of the classes.
        where: Name of the sample in errors.

    Raises:
        DataError: A class is not in the class map, a box is not in the image, or the objects are in
            an image of another size.
    """
    found = sample.instances
    if not len(found):
        return
    size = sample.info.original_size
    if any(size) and tuple(found.size) != tuple(size):
        raise DataError(
            f"{where}: its objects are in an image of another size",
            rule=f"the size of the image, {tuple(size)}",
            received=f"Instances(size={tuple(found.size)})",
            fix=f"Instances({tuple(size)}, …), with boxes in pixels of this image",
        )
    check_classes(found.classes, class_map, where)
    _check_boxes(found, found.size, where)


def check_classes(classes: np.ndarray | None, class_map: ClassMap, where: str) -> None:
    """Check that class ids (n,) exist.

    Args:
        classes: Class ids of objects; None without.
        class_map: Names of the classes.
        where: Name of the sample in errors.

    Raises:
        DataError: An id is not the index of a class.
    """
    count = len(class_map)
    if classes is None or not classes.size or (classes.min() >= 0 and classes.max() < count):
        return
    row = int(np.argmax((classes < 0) | (classes >= count)))
    starts_at_one = classes.min() == 1 and classes.max() == count
    raise DataError(
        f"{where}: object {row + 1} has the class {classes[row]}",
        rule=f"0 to {count - 1}, the indices of the classes {', '.join(class_map.names)[:80]}",
        fix="classes - 1: ids count from 0" if starts_at_one else "correct the class ids",
    )


def _check_boxes(found: Instances, size: ImageSize, where: str) -> None:
    boxes = found.boxes
    if boxes is None:
        return
    is_rotated = isinstance(boxes, RotatedBoxes)
    array = np.asarray(boxes)
    are_shares = not is_rotated and array.max() <= 1 < min(size)
    if not is_rotated and not are_shares and all_valid(array, size):
        return
    for row, box in enumerate(array.tolist()):
        wrong = wrong_rotated_box(box, size) if is_rotated else wrong_with(box, size)
        if wrong is None and not are_shares:
            continue
        height, width = size
        kind, reason = wrong or ("share", f"box {tuple(round(v, 3) for v in box)} is not in pixels")
        fix = "correct the box, or remove the object"
        if are_shares:
            fix = f"boxes * [{width}, {height}, {width}, {height}]"
        elif kind == "outside" and not is_rotated:
            fix = f"Boxes(boxes).clip({size})"
        raise DataError(
            f"{where}, object {row + 1}: {reason}",
            rule="center x, center y, width, height in pixels of the image, angle in degrees"
            if is_rotated
            else "x1, y1, x2, y2 in pixels of the image, x1 < x2 and y1 < y2",
            fix=fix,
        )
