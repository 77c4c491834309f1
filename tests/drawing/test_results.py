"""What `draw` shows of instances, compared with shapes computed by hand."""

import numpy as np
import pytest

from visiongarden.drawing import draw
from visiongarden.samples import Boxes, Instances, Keypoints, Masks, RotatedBoxes
from visiongarden.types import ClassMap

SIZE = (120, 160)
NAMES = ClassMap(("cat", "dog"))


def changed(instances):
    """Return which pixels of a gray image the drawing changes, bool (height, width)."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    picture = draw(image, instances)
    assert (image == 90).all()
    return (picture != 90).any(axis=-1)


def test_masks_are_filled():
    bitmap = np.zeros(SIZE, bool)
    bitmap[60:90, 40:100] = True
    bitmap[70:80, 60:70] = False  # a hole
    found = Instances(SIZE, classes=[1], scores=[0.5], masks=Masks.from_bitmaps(bitmap[None]))
    inside = changed(found)[62:88, 42:98]
    expected = np.ones((26, 56), bool)
    expected[9:17, 19:27] = False
    assert inside[expected].mean() > 0.98  # the border of the hole is antialiased
    assert not inside[10:16, 20:26].any()


def test_rotated_boxes_are_drawn_at_their_angle():
    found = Instances(SIZE, RotatedBoxes([[80, 70, 60, 20, 45]]), [0], class_map=NAMES)
    drawn = changed(found)
    # The corner (30, 10) of the box, turned by 45 degrees: (30 - 10, 30 + 10) / sqrt(2).
    for x, y in ((30, 10), (30, -10), (-30, 10)):
        row, column = round(70 + (x + y) / 2**0.5), round(80 + (x - y) / 2**0.5)
        assert drawn[row - 1 : row + 2, column - 1 : column + 2].any(), (x, y)
    assert not drawn[68:73, 75:85].any()  # its center
    assert not drawn[95:, :85].any()  # what an upright box would reach


def test_keypoints_and_their_skeleton():
    points = [[[20, 60, 2], [100, 60, 1], [60, 110, 0]]]
    keypoints = Keypoints(points, skeleton=[(0, 1), (1, 2)])
    drawn = changed(Instances(SIZE, classes=[0], keypoints=keypoints))
    assert drawn[60, 20]  # visible: filled
    assert drawn[60, 26:95].all()  # the edge
    assert drawn[57:64, 97:104].any()  # hidden: hollow
    assert not drawn[105:115, 55:65].any()  # not labeled: nothing, nor its edge
    assert not drawn[85, 70:90].any()


def test_ground_truth_has_no_score_and_small_boxes_are_on_top():
    boxes = Boxes([[40, 60, 80, 100], [20, 40, 120, 110]])
    image = np.full((*SIZE, 3), 90, np.uint8)
    annotated = Instances(SIZE, boxes, [0, 1], class_map=NAMES, crowd=[False, True])
    with_scores = annotated.replace(scores=[0.5, 0.4], crowd=None)
    assert not np.array_equal(draw(image, annotated), draw(image, with_scores))
    order = np.array([1, 0])
    assert np.array_equal(draw(image, annotated), draw(image, annotated[order]))


@pytest.mark.parametrize(
    "instances",
    [
        Instances(SIZE, Boxes([]), [], scores=[]),
        Instances(SIZE),
        Instances(SIZE, Boxes([[-1e8, -1e8, 1e8, 1e8]]), [0]),
        Instances(SIZE, RotatedBoxes([[1e8, 1e8, 1e8, 1, 0]]), [0]),
        Instances(SIZE, Boxes([[5, 5, 9, 9]])),
        Instances(SIZE, data={"track": np.arange(2)}),
    ],
)
def test_what_is_empty_or_outside(instances):
    changed(instances)
