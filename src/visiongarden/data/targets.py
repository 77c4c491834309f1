"""`targets_of`: the arrays of a sample that a training step needs."""

from __future__ import annotations

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import Field, Sample
from visiongarden.types import ImageSize


def targets_of(sample: Sample, capacity: int) -> dict[str, np.ndarray]:
    """Return all annotations of a sample as arrays of fixed shapes.

    Objects give "boxes" (capacity, 4) or, rotated, (capacity, 5), "classes" (capacity,) with -1 as
    padding, "crowd" (capacity,), and "masks", "keypoints" and the targets of custom fields where
    the sample has them. Labels give "labels" (k,), a semantic mask "semantic" (height, width).

    Args:
        sample: Sample whose image is on the canvas of the model.
        capacity: Largest number of objects of an image.

    Raises:
        UserError: The image has more objects.
    """
    found = sample.instances
    targets: dict[str, np.ndarray] = {}
    if found.boxes is not None or found.classes is not None:
        targets |= object_targets(sample, capacity)
    size = canvas_of(sample)
    for field in (found.masks, found.keypoints, *found.data.values(), *sample.extra.values()):
        if isinstance(field, Field):
            targets |= field.to_targets(capacity, size)
    if sample.labels is not None:
        targets["labels"] = sample.labels
    if sample.semantic is not None:
        targets["semantic"] = sample.semantic
    if sample.known_classes is not None:
        targets["known_classes"] = sample.known_classes
    return targets


def object_targets(sample: Sample, capacity: int) -> dict[str, np.ndarray]:
    """Return "boxes", "classes" and "crowd" of the objects of a sample.

    Args:
        sample: Sample whose image is on the canvas of the model.
        capacity: Largest number of objects of an image.

    Raises:
        UserError: The image has more objects.
    """
    found = sample.instances
    count = len(found)
    if count > capacity:
        raise UserError(
            f"the image {sample.info.source} has {count} objects after its transforms",
            rule=f"at most {capacity} objects, the capacity of a batch",
            fix=f"capacity={count}",
        )
    classes, crowd = np.full(capacity, -1, np.int32), np.zeros(capacity, bool)
    if found.classes is not None:
        classes[:count] = found.classes
    if found.crowd is not None:
        crowd[:count] = found.crowd
    targets = {"classes": classes, "crowd": crowd}
    if found.boxes is not None:
        return found.boxes.to_targets(capacity, canvas_of(sample)) | targets
    return {"boxes": np.zeros((capacity, 4), np.float32)} | targets


def canvas_of(sample: Sample) -> ImageSize:
    """Return the (height, width) of a sample's image."""
    if sample.image is None:
        return sample.instances.size
    return sample.image.shape[0], sample.image.shape[1]
