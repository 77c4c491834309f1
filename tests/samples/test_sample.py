"""`Sample` and `ImageInfo`."""

import numpy as np
import pytest

from visiongarden.errors import UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample


def test_repr_shows_what_a_sample_contains_without_its_pixels():
    sample = Sample(
        ImageInfo(7, "cat.jpg", (8, 9)),
        np.zeros((8, 9, 3), np.uint8),
        Instances((8, 9), Boxes([[1, 2, 5, 6]]), [1]),
        labels=np.zeros(3, np.float32),
        extra={"depth": np.zeros((8, 9))},
    )
    assert repr(sample) == (
        "Sample(id 7, 'cat.jpg', image uint8 8 × 9 × 3, labels float32 3, "
        "Instances(1 object, image 8 × 9; boxes, classes), depth)"
    )
    assert repr(Sample(ImageInfo("a", None, (8, 9)))) == "Sample(id 'a')"


def test_the_original_size_is_height_and_width():
    with pytest.raises(UserError, match="the size of the image 7 is not valid") as caught:
        ImageInfo(7, "cat.jpg", (8, 9, 3))
    assert caught.value.fix == "image.shape[:2]"
