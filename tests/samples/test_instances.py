"""Instances and samples: all fields of an object stay together."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from visiongarden import ClassMap, UserError
from visiongarden.samples import (
    Boxes,
    Field,
    ImageInfo,
    Instances,
    Keypoints,
    Masks,
    RotatedBoxes,
    Sample,
)

SIZE = (80, 100)
MIRROR = np.array([[-1, 0, 100], [0, 1, 0], [0, 0, 1]], float)
LEFT = np.array([[1, 0, -20], [0, 1, 0], [0, 0, 1]], float)


class Centers:
    """A custom field: one point per object, in pixels."""

    def __init__(self, points):
        self.points = np.asarray(points, float).reshape(-1, 2)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return Centers(self.points[index])

    @classmethod
    def concatenate(cls, parts):
        return cls(np.concatenate([part.points for part in parts]))

    def warp(self, matrix, size):
        moved = np.c_[self.points, np.ones(len(self))] @ matrix.T
        return Centers(moved[:, :2] / moved[:, 2:])

    def visible_fraction(self, size):
        inside = (self.points >= 0) & (self.points <= size[::-1])
        return inside.all(axis=1).astype(float)

    def to_targets(self, capacity, size):
        return {"centers": np.zeros((capacity, 2), np.float32)}


class Broken(Centers):
    def __getitem__(self, index):
        return self


BOXES = np.array([[10, 20, 30, 40], [-10, 0, 30, 10], [0, 0, 20, 20], [90, 70, 100, 80]])


def full(**changes):
    values = {
        "boxes": Boxes(BOXES),
        "classes": [3, 2, 1, 0],
        "scores": [0.1, 0.2, 0.3, 0.4],
        "masks": Centers([[20, 30], [10, 5], [10, 10], [95, 75]]),
        "keypoints": Centers([[1, 1], [2, 2], [3, 3], [4, 4]]),
        "crowd": [False, True, False, True],
        "area": [400, 400, 400, 100],
        "data": {"centers": Centers([[5, 5], [6, 6], [7, 7], [8, 8]]), "id": np.arange(4) + 70},
    }
    return Instances(SIZE, **values | changes)


def copied_by_pickle(value):
    """Return a copy as a loader's process receives it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


def contents(instances):
    """Return all fields as lists."""
    columns = {name: getattr(instances, name) for name in
               ("boxes", "classes", "scores", "masks", "keypoints", "crowd", "area")}  # fmt: skip
    columns |= instances.data
    return {
        name: (value.points if isinstance(value, Centers) else np.asarray(value)).tolist()
        for name, value in columns.items()
        if value is not None
    }


def test_types_of_the_fields():
    found = full()
    assert len(found) == 4
    assert found.size == SIZE
    assert found.classes.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert found.crowd.dtype == bool
    assert found.area.dtype == np.float64
    assert isinstance(found.data["centers"], Field)
    assert repr(full(data=None, scores=None)) == (
        "Instances(4 objects, image 80 × 100; boxes, classes, masks, keypoints, crowd, area)"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": [1, 2, 3]},
        {"scores": [0.5]},
        {"crowd": []},
        {"area": [1] * 5},
        {"masks": Centers([[1, 1]])},
        {"keypoints": Centers([])},
        {"data": {"id": np.arange(3)}},
        {"data": {"tags": Centers([[1, 1]])}},
    ],
)
def test_different_lengths(changes):
    name, value = next(iter(changes.items()))
    if name == "data":
        name, value = next(iter(value.items()))
    with pytest.raises(UserError) as error:
        full(**changes)
    assert "'boxes'" in error.value.what
    assert f"'{name}'" in error.value.what
    assert error.value.received == f"4 rows in 'boxes', {len(value)} in '{name}'"
    assert error.value.fix


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": BOXES}, r"wrong type[\s\S]*boxes=Boxes\(boxes\)"),
        ({"boxes": Centers(BOXES[:, :2])}, "Boxes or RotatedBoxes"),
        ({"masks": np.zeros((4, 80, 100))}, "'masks'[\\s\\S]*a Field"),
        ({"keypoints": [1, 2, 3, 4]}, "'keypoints'[\\s\\S]*a Field"),
        ({"classes": [0.5, 1, 2, 3]}, "classes are not valid"),
        ({"classes": [2**31, 1, 2, 3]}, "32 bits"),
        ({"classes": [[1], [2], [3], [4]]}, "classes are not valid"),
        ({"classes": ["cat"] * 4}, "classes are not valid"),
        ({"classes": 3}, "classes are not valid"),
        ({"scores": [0.5, np.nan, 0, 0]}, r"scores contain[\s\S]*row 1"),
        ({"scores": [[0.5]] * 4}, "scores have the wrong shape"),
        ({"scores": 0.5}, "scores have the wrong shape"),
        ({"area": [1, np.inf, 1, 1]}, "areas contain"),
        ({"crowd": [0, 1, 2, 0]}, "crowd flags are not valid"),
        ({"crowd": True}, "crowd flags are not valid"),
        ({"data": {"id": [1, 2, 3, 4]}}, r"Field or an array[\s\S]*np.asarray"),
        ({"data": {"id": np.array(5)}}, "one row per object"),
        ({"data": {"boxes": np.arange(4)}}, "cannot be the name"),
        ({"data": {5: np.arange(4)}}, "cannot be the name"),
    ],
)
def test_invalid_fields(changes, message):
    with pytest.raises(UserError, match=message):
        full(**changes)


@pytest.mark.parametrize("size", [(80, 100, 3), 80, (-1, 5), (1.5, 2), (np.nan, 2), None, "ab"])
def test_invalid_sizes(size):
    with pytest.raises(UserError, match="height, width"):
        Instances(size)


def test_instances_cannot_be_changed():
    found = full()
    with pytest.raises(UserError, match=r"instances.replace\(classes=classes\)"):
        found.classes = np.arange(4)
    with pytest.raises(UserError, match="replace"):
        found.other = 1
    with pytest.raises(TypeError):
        del found.classes
    with pytest.raises(TypeError):
        found.data["id"] = 1
    for array in (found.classes, found.scores, found.crowd, found.area, found.data["id"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_replace():
    found = full().replace(classes=[0, 0, 0, 0], scores=None)
    assert contents(found) == {
        **{k: v for k, v in contents(full()).items() if k != "scores"},
        "classes": [0, 0, 0, 0],
    }
    with pytest.raises(UserError, match="did you mean classes"):
        full().replace(clases=[1])
    with pytest.raises(UserError, match="different lengths"):
        full().replace(classes=[1])


def test_pickle():
    found = copied_by_pickle(full(class_map=ClassMap(("a", "b", "c", "d"))))
    assert contents(found) == contents(full())
    assert found.class_map.names == ("a", "b", "c", "d")
    assert found.size == SIZE


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -2), [3, 1]),
        (np.array([2, 0, 2]), [2, 0, 2]),
        (np.array([], int), []),
        ([], []),
        (np.array([True, False, False, True]), [0, 3]),
        (np.zeros(4, bool), []),
    ],
)
def test_select(index, rows):
    whole = contents(full())
    found = full(class_map=ClassMap(("a",)))[index]
    assert contents(found) == {name: [value[row] for row in rows] for name, value in whole.items()}
    assert (len(found), found.size, found.class_map) == (len(rows), SIZE, ClassMap(("a",)))


@pytest.mark.parametrize("index", [0, np.int64(1), np.ones(3, bool), [4], "boxes", None, 0.5])
def test_invalid_indices(index):
    with pytest.raises(UserError, match=r"index of the objects|boolean mask"):
        full()[index]


def test_a_field_that_ignores_the_index_is_an_error():
    broken = full(data={"tags": Broken([[1, 1]] * 4)})
    with pytest.raises(UserError, match="'boxes' and 'tags'"):
        broken[:2]
    with pytest.raises(UserError, match="'boxes' and 'tags'"):
        broken.warp(LEFT, SIZE, 0.9)


@given(arrays(bool, 4), st.integers(0, 4))
def test_concatenate_is_the_inverse_of_selection(mask, cut):
    found = full()
    both = Instances.concatenate([found[:cut], found[cut:]])
    assert contents(both) == contents(found)
    order = np.argsort(np.r_[np.flatnonzero(mask), np.flatnonzero(~mask)])
    parts = Instances.concatenate([found[mask], found[~mask]])
    assert contents(parts[order]) == contents(found)


def test_parts_without_objects_may_lack_fields():
    found = Instances.concatenate([Instances.empty(), full(), Instances.empty(SIZE)])
    assert contents(found) == contents(full())
    assert found.size == SIZE
    nothing = Instances.concatenate([Instances.empty(), full()[:0], Instances.empty(SIZE)])
    assert (len(nothing), nothing.size) == (0, SIZE)
    assert np.asarray(nothing.boxes).shape == (0, 4)
    assert len(Instances.concatenate([])) == 0


def test_objects_without_crowd_are_no_crowds():
    found = Instances.concatenate([full(crowd=None), full()])
    assert found.crowd.tolist() == [False] * 4 + [False, True, False, True]
    assert Instances.concatenate([full(crowd=None)] * 2).crowd is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "have no field 'classes'"),
        ({"data": {}}, "have no field 'centers'"),
        ({"boxes": RotatedBoxes(np.ones((4, 5)))}, r"'boxes'[\s\S]*Boxes, RotatedBoxes"),
        ({"data": {"centers": full().data["centers"], "id": np.ones((4, 2))}}, "same shape"),
        ({"data": {"centers": np.ones(4), "id": np.ones(4)}}, "values of one type"),
        ({"class_map": ClassMap(("x",))}, "class maps"),
        ({"size": (5, 5)}, "sizes"),
    ],
)
def test_parts_that_cannot_be_concatenated(changes, message):
    one = full(class_map=ClassMap(("a",)))
    with pytest.raises(UserError, match=message):
        Instances.concatenate([one, one.replace(**changes)])


def test_warp_moves_all_fields():
    found = full()[[0, 3]].warp(MIRROR, SIZE)
    assert contents(found) == {
        "boxes": [[70, 20, 90, 40], [0, 70, 10, 80]],
        "classes": [3, 0],
        "scores": [np.float32(0.1), np.float32(0.4)],
        "masks": [[80, 30], [5, 75]],
        "keypoints": [[99, 1], [96, 4]],
        "crowd": [False, True],
        "area": [400, 100],
        "centers": [[95, 5], [92, 8]],
        "id": [70, 73],
    }
    assert full().warp(np.eye(3), (50, 60)).size == (50, 60)


@pytest.mark.parametrize(
    ("min_visibility", "kept"),
    # Moved left by 20 pixels, 1/2, 1/4, none and all of the boxes are visible.
    [(0, [70, 71, 73]), (0.25, [70, 71, 73]), (0.26, [70, 73]), (0.5, [70, 73]), (1, [73])],
)
def test_min_visibility(min_visibility, kept):
    found = full().warp(LEFT, SIZE, min_visibility)
    assert found.data["id"].tolist() == kept
    index = np.array(kept) - 70
    assert found.classes.tolist() == (3 - index).tolist()
    boxes = BOXES[index] - [20, 0, 20, 0]
    assert contents(found)["boxes"] == np.maximum(boxes, 0).tolist()
    assert contents(found)["centers"] == [[5.0 + i - 20, 5.0 + i] for i in index]
    assert found.area.tolist() == full().area[index].tolist()


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_invalid_visibility(value):
    with pytest.raises(UserError, match="min_visibility"):
        full().warp(LEFT, SIZE, value)


@pytest.mark.parametrize(
    ("matrix", "factor"),
    [
        (np.diag([2.0, 3, 1]), 6),
        (np.diag([-0.5, 1, 1]) + np.array([[0, 0, 50], [0, 0, 0], [0, 0, 0]]), 0.5),
        (np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]), 1),  # a shear keeps areas
        (np.array([[0, -2, 160], [2, 0, 0], [0, 0, 1]]), 4),
        (np.diag([4.0, 4, 2]), 4),  # x' = 4 x / 2
    ],
)
def test_areas_are_scaled_by_the_determinant(matrix, factor):
    found = full().warp(matrix, (500, 500))
    index = found.data["id"] - 70
    np.testing.assert_allclose(found.area, full().area[index] * factor, rtol=1e-12)


def test_areas_under_perspective():
    # A small box of 0.02 pixels: its area is scaled as that of its warped corners (shoelace).
    matrix = np.array([[1.1, 0.2, 3], [0.1, 0.9, 2], [0.001, 0.002, 1]])
    corners = np.array([[40, 30], [40.02, 30], [40.02, 30.02], [40, 30.02]])
    moved = np.c_[corners, np.ones(4)] @ matrix.T
    x, y = (moved[:, :2] / moved[:, 2:]).T
    expected = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    one = Instances(SIZE, Boxes([[40, 30, 40.02, 30.02]]), area=[0.0004])
    np.testing.assert_allclose(one.warp(matrix, SIZE).area, [expected], rtol=1e-3)
    rotated = Instances(SIZE, RotatedBoxes([[40.01, 30.01, 0.02, 0.02, 0]]), area=[0.0004])
    np.testing.assert_allclose(rotated.warp(matrix, SIZE).area, [expected], rtol=1e-3)
    without = Instances(SIZE, classes=[1], area=[4])
    assert without.warp(matrix, SIZE).area is None


def test_rotated_boxes_keep_their_angle_at_the_border():
    boxes = RotatedBoxes([[20, 40, 30, 10, 20], [10, 10, 9, 4, 0]])
    found = Instances(SIZE, boxes, [1, 2]).warp(LEFT, SIZE, 0.1)
    assert found.classes.tolist() == [1]
    # The intersection in Shapely and its bounds in the axes of the box.
    np.testing.assert_allclose(
        found.boxes, [[6.1926, 42.2539, 16.8199, 10, 20]], rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("field", ["masks", "keypoints"])
def test_without_boxes_other_fields_decide_what_is_visible(field):
    points = Centers([[30, 5], [10, 5]])
    found = Instances(SIZE, classes=[0, 1], **{field: points}).warp(LEFT, SIZE)
    assert found.classes.tolist() == [0]
    assert getattr(found, field).points.tolist() == [[10, 5]]
    assert len(Instances(SIZE, classes=[0, 1]).warp(LEFT, SIZE)) == 2


@pytest.mark.parametrize(
    "instances",
    [Instances.empty(), Instances.empty(SIZE), full()[:0], Instances(SIZE, RotatedBoxes([]), [])],
)
def test_no_objects(instances):
    perspective = np.array([[1, 0, 0], [0, 1, 0], [0.001, 0, 1]])
    assert len(instances) == 0
    for found in (instances[:], instances[[]], instances.replace(size=(5, 5)),
                  instances.warp(MIRROR, (5, 5), 0.5), instances.warp(perspective, (5, 5)),
                  Instances.concatenate([instances, instances])):  # fmt: skip
        assert len(found) == 0
        assert contents(found).keys() >= contents(instances).keys() - {"area"}
    assert instances.warp(MIRROR, (5, 5)).size == (5, 5)


def test_masks_and_keypoints_follow_the_boxes():
    ring = [10, 20, 30, 20, 30, 40, 10, 40]
    masks = Masks.from_polygons([[ring], [[0, 0, 9, 0, 9, 9]], [ring]], SIZE)
    points = np.array([[[12, 25, 2], [28, 26, 1]], [[1, 1, 2], [2, 2, 2]], [[0, 0, 0]] * 2])
    keypoints = Keypoints(points, pairs=[(0, 1)])
    boxes = Boxes([[10, 20, 30, 40], [0, 0, 9, 9], [10, 20, 30, 40]])
    whole = Instances(SIZE, boxes, [1, 2, 3], masks=masks, keypoints=keypoints)
    both = Instances.concatenate([whole[:1], whole[1:]])
    found = both.warp(MIRROR @ LEFT, SIZE, 0.5)  # x' = 100 - (x - 20); the second object is outside
    assert found.classes.tolist() == [1, 3]
    assert np.asarray(found.boxes).tolist() == [[90, 20, 100, 40]] * 2
    mirrored = [[110, 20], [90, 20], [90, 40], [110, 40]]
    assert [ring.tolist() for (ring,) in found.masks.polygons()] == [mirrored, mirrored]
    assert found.keypoints.values.tolist() == [[[92, 26, 1], [108, 25, 2]], [[0, 0, 0]] * 2]


def test_sample():
    sample = Sample(ImageInfo(7, "cat.jpg", SIZE))
    assert sample.image is None
    assert len(sample.instances) == 0
    assert sample.extra == {}
    assert sample.extra is not Sample(sample.info).extra
    with pytest.raises(AttributeError):
        sample.boxes = 1


def test_the_placement_of_an_image_is_the_product_of_its_warps():
    info = ImageInfo("a", None, SIZE)
    assert info.placement.tolist() == np.eye(3).tolist()
    moved = info.moved(np.diag([2.0, 2, 1])).moved(LEFT)  # enlarged, then moved: x' = 2 x - 20
    assert moved.placement.tolist() == [[2, 0, -20], [0, 2, 0], [0, 0, 1]]
    assert (moved.id, moved.source, moved.original_size) == ("a", None, SIZE)
    assert info.placement.tolist() == np.eye(3).tolist()
    with pytest.raises(UserError, match="invalid shape"):
        info.moved(np.eye(2))
    assert copied_by_pickle(moved).placement.tolist() == moved.placement.tolist()


def test_neither_a_backend_nor_pydantic_is_imported():
    code = (
        "import sys, visiongarden.samples\n"
        "print({'keras', 'tensorflow', 'jax', 'torch', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_class_that_is_almost_a_field_names_what_is_missing():
    class Velocity:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return self

        def warp(self, matrix, size):
            return self

    with pytest.raises(UserError, match="define concatenate, visible_fraction, to_targets of V"):
        Instances((9, 9), Boxes([[0, 0, 3, 3]]), [0], data={"v": Velocity()})
    with pytest.raises(UserError, match=r"np\.asarray"):
        Instances((9, 9), Boxes([[0, 0, 3, 3]]), [0], data={"v": ["a"]})


@pytest.mark.parametrize(("returned", "message"), [("values", "ndarray"), ("fewer", "0 objects")])
def test_a_field_that_is_not_transformed_as_a_field(returned, message):
    class Wrong(Centers):
        def warp(self, matrix, size):
            return self.points if returned == "values" else self[:0]

    objects = Instances((9, 9), Boxes([[0, 0, 3, 3]]), [0], data={"v": Wrong([[1, 2]])})
    with pytest.raises(UserError, match=rf"(?s)Wrong\.warp returns something else.*{message}"):
        objects.warp(np.eye(3), (9, 9))
