"""Samples made by a program are checked as those of files are."""

import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data import Dataset, Loader
from visiongarden.errors import DataError
from visiongarden.samples import Boxes, ImageInfo, Instances, RotatedBoxes, Sample

SIZE = (40, 50)


def dataset(boxes, classes, size=SIZE, source=None):
    image = np.zeros((*SIZE, 3), np.uint8)
    info = ImageInfo(0, source, SIZE)
    sample = Sample(info, image, instances=Instances(size, boxes, classes))
    return Dataset(vg.ClassMap(("cat", "dog")), [sample])


VALID = Boxes([[1, 2, 5, 6]])
WRONG = {
    "a class beyond the last": (VALID, [2], SIZE, "object 1 has the class 2", "0 to 1"),
    "a negative class": (VALID, [-1], SIZE, "object 1 has the class -1", "correct"),
    "ids from 1": (
        Boxes([[1, 2, 5, 6], [1, 2, 8, 9]]),
        [1, 2],
        SIZE,
        "object 2 has the class 2",
        "classes - 1",
    ),
    "objects of another image": (VALID, [0], (80, 50), "another size", "Instances((40, 50)"),
    "a box outside": (Boxes([[1, 2, 70, 6]]), [0], SIZE, "is outside the image of 50 × 40", "clip"),
    "swapped corners": (Boxes([[5, 6, 1, 2]]), [0], SIZE, "has no area", "correct the box"),
    "shares": (Boxes([[0.1, 0.2, 0.5, 0.6]]), [0], SIZE, "not in pixels", "[50, 40, 50, 40]"),
    "a rotated box outside": (
        RotatedBoxes([[70, 10, 8, 4, 30]]),
        [0],
        SIZE,
        "center outside the image",
        "correct the box",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_objects_are_refused(name):
    boxes, classes, size, what, fix = WRONG[name]
    data = dataset(boxes, classes, size)
    for transforms in (None, []):
        with pytest.raises(DataError) as error:
            list(Loader(data, (32, 32), 1, transforms))
        assert what in str(error.value)
        assert fix in str(error.value)
        assert "sample 0" in str(error.value)


def test_valid_objects_are_accepted():
    for boxes in (VALID, Boxes([[0, 0, 50, 40]]), RotatedBoxes([[45, 10, 20, 4, 30]])):
        [(_, targets)] = list(Loader(dataset(boxes, [1]), (40, 50), 1))
        assert targets["classes"].tolist() == [[1]]
    empty = dataset(Boxes(np.zeros((0, 4))), [])
    [(_, targets)] = list(Loader(empty, (40, 50), 1))
    assert targets["classes"].tolist() == [[-1]]


def test_counts_refuse_classes_that_do_not_exist():
    with pytest.raises(DataError, match=r"sample 0 \(cat.jpg\): object 1 has the class 7"):
        dataset(VALID, [7], source="cat.jpg").counts()
    assert dataset(VALID, [1]).counts().tolist() == [0, 1]
