"""Samples of tests: images in memory with boxes."""

import numpy as np

from visiongarden.samples import Boxes, ImageInfo, Instances, Sample


def sample(boxes, classes, image=None, size=None, index=0, **fields):
    """Return a sample with xyxy boxes in pixels.

    Args:
        boxes: (n, 4).
        classes: (n,).
        image: pixels (height, width, 3), or None.
        size: (height, width); by default that of the image.
        index: position in the dataset.
        **fields: further fields of `Instances`, such as `crowd` and `area`.
    """
    size = image.shape[:2] if size is None else size
    boxes = Boxes(np.asarray(boxes, np.float32).reshape(-1, 4))
    instances = Instances(size, boxes, np.asarray(classes, np.int32).reshape(-1), **fields)
    return Sample(ImageInfo(index, None, size), image, instances)


def boxes_of(found):
    """Return the boxes of a sample, (n, 4)."""
    return np.asarray(found.instances.boxes)
