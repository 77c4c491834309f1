"""Label Studio's JSON: boxes from percentages, rotation around a corner, brushes, choices."""

import math

import numpy as np
import pytest
from tests.data.readers.tool_files import notes, one, read, save

from visiongarden.data.readers.brush_masks import brush_mask
from visiongarden.data.readers.label_studio import LabelStudio
from visiongarden.errors import DataError
from visiongarden.samples.masks import fill


def region(kind, value, label="cat", number="r1", **keys):
    labels = {} if label is None else {kind: [label]}
    return {
        "id": number, "type": kind, "from_name": "label", "to_name": "image",
        "original_width": 100, "original_height": 50, "image_rotation": 0, "value": value | labels,
    } | keys  # fmt: skip


def rectangle(x, y, width, height, rotation=0, **keys):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return region("rectanglelabels", value, **keys)


def task(*results, image="/data/upload/1/0a1b2c3d-a.png", number=1, **keys):
    annotation = {"id": 7, "completed_by": 1, "was_cancelled": False, "result": list(results)}
    return {"id": number, "data": {"image": image}, "annotations": [annotation]} | keys


def choices(*names, field="weather"):
    return {
        "type": "choices", "from_name": field, "to_name": "image", "value": {"choices": [*names]},
    }  # fmt: skip


def packed(values, word=8, sizes=(3, 4, 8, 16)):
    """Encode values as rle-pack: repeated values as runs, others as literal groups of one."""
    bits = f"{len(values):032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    start = 0
    while start < len(values):
        stop = start
        while stop < len(values) and values[stop] == values[start] and stop - start < 65536:
            stop += 1
        length = stop - start - 1
        group = next(i for i, size in enumerate(sizes) if length < 1 << size)
        repeated = int(stop - start > 1)
        bits += f"{repeated}{group:02b}{length:0{sizes[group]}b}{values[start]:0{word}b}"
        start = stop
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def brush(mask):
    return packed(np.repeat(mask.ravel().astype(int) * 255, 4).tolist())


def test_rectangles_in_percent(tmp_path):
    root = save(
        tmp_path,
        {"p.json": [task(rectangle(10, 20, 30, 40), rectangle(0, 0, 50, 50, number="r2"))]},
    )
    row, found = one(LabelStudio(), root)
    assert row.boxes.tolist() == [[10, 10, 40, 30], [0, 0, 50, 25]]
    assert found.class_map.names == ("cat",)


def test_a_rectangle_is_turned_around_its_upper_left_corner(tmp_path):
    """By 90° clockwise: the box hangs down to the left of its corner."""
    turned = rectangle(50, 20, 20, 20, 90, number="r2")
    root = save(tmp_path, {"p.json": [task(rectangle(10, 20, 30, 40), turned)]})
    row, _ = one(LabelStudio(), root)
    # 20 × 10 pixels at (50, 10): after the rotation x is 40 to 50 and y 10 to 30.
    assert row.boxes[0].tolist() == [25, 20, 30, 20, 0]
    assert row.boxes[1].tolist() == pytest.approx([45, 20, 20, 10, -90])
    tilted = rectangle(50, 20, 20, 20, 30)
    row, _ = one(LabelStudio(), save(tmp_path, {"p.json": [task(tilted)]}))
    cos, sin = math.cos(math.pi / 6), math.sin(math.pi / 6)
    center = (50 + 10 * cos - 5 * sin, 10 + 10 * sin + 5 * cos)
    assert row.boxes[0].tolist() == pytest.approx([*center, 20, 10, 30], rel=1e-6)


def test_polygons_ellipses_and_keypoints(tmp_path):
    results = [
        region("polygonlabels", {"points": [[10, 10], [30, 10], [30, 50]], "closed": True}),
        region(
            "ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0},
            "dog", "r2",
        ),
        region("keypointlabels", {"x": 20, "y": 20, "width": 0.5}, "nose", "r3", parentID="r1"),
    ]  # fmt: skip
    row, found = one(LabelStudio(), save(tmp_path, {"p.json": [task(*results)]}))
    assert row.boxes.tolist() == [[10, 5, 30, 25], [40, 15, 60, 35]]
    assert row.polygons[0][0].tolist() == [[10, 5], [30, 5], [30, 25]]
    assert row.keypoints.tolist() == [[[20, 10, 2]], [[0, 0, 0]]]
    assert found[0].instances.keypoints.names == ("nose",)
    assert found.class_map.names == ("cat", "dog")


def test_a_label_may_be_a_result_of_its_own(tmp_path):
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    results = [region("rectangle", value, None), region("labels", value, "dog")]
    row, found = one(LabelStudio(), save(tmp_path, {"p.json": [task(*results)]}))
    assert row.boxes.tolist() == [[10, 10, 40, 30]]
    assert found.class_map.names == ("dog",)


def test_brushes(tmp_path):
    rng = np.random.default_rng(3)
    mask = np.zeros((50, 100), bool)
    mask[10:30, 20:60] = rng.random((20, 40)) < 0.7
    result = region("brushlabels", {"format": "rle", "rle": brush(mask)})
    row, _ = one(LabelStudio(), save(tmp_path, {"p.json": [task(result)]}))
    assert (fill(row.polygons[0], (50, 100)) == mask).all()


def test_literal_groups_of_a_brush(tmp_path):
    """A group of 12 different values: pixels 0 and 2 are opaque, the others are not."""
    values = [1, 2, 3, 255, 4, 5, 6, 0, 7, 8, 9, 1]
    bits = f"{2 * 2 * 4:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "0" + "01" + f"{11:04b}" + "".join(f"{v:08b}" for v in values)
    bits += "1" + "00" + f"{3:03b}" + f"{0:08b}"
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    result = region("brushlabels", {"rle": rle}, original_width=2, original_height=2)
    root = save(tmp_path, {"p.json": [task(result)]}, size=(2, 2))
    row, _ = one(LabelStudio(), root)
    assert fill(row.polygons[0], (2, 2)).tolist() == [[True, False], [True, False]]


def test_a_brush_takes_no_memory_without_pixels():
    with pytest.raises(ValueError, match="at most 67,108,864 pixels"):
        brush_mask([0] * 20, (2**15, 2**15))
    with pytest.raises(ValueError, match="do not fill"):
        brush_mask([255] * 20, (2**13, 2**13))


def test_many_names_of_keypoints_are_refused(tmp_path):
    """Each object would have all 3,000 of them, most without a label."""
    results = []
    for number in range(3000):
        results.append(rectangle(1, 1, 9, 9, number=f"r{number}"))
        point = {"x": 2, "y": 2, "width": 1}
        name, parent = f"p{number}", f"r{number}"
        results.append(region("keypointlabels", point, name, name, parentID=parent))
    with pytest.raises(DataError, match="3,000 different names"):
        read(LabelStudio(), save(tmp_path, {"p.json": [task(*results)]}))


def test_choices_are_labels_of_the_image(tmp_path):
    tasks = [
        task(choices("rain", "fog"), image="a.png"),
        task(choices("sun"), image="b.png", number=2),
        {"id": 3, "data": {"image": "c.png"}, "annotations": []},
    ]
    root = save(tmp_path, {"p.json": tasks}, ["a.png", "b.png", "c.png"])
    found, errors, _ = read(LabelStudio(), root)
    assert errors == []
    assert found.class_map.names == ("fog", "rain", "sun")
    assert [row.labels.tolist() for row in found.rows()][:2] == [[1, 1, 0], [0, 0, 1]]
    assert np.isnan(found.row(2).labels).all()
    assert found.counts().tolist() == [1, 1, 1]
    assert found.label_map is None


def test_choices_beside_objects_have_names_of_their_own(tmp_path):
    root = save(tmp_path, {"p.json": [task(rectangle(10, 20, 30, 40), choices("sun"))]})
    row, found = one(LabelStudio(), root)
    assert found.class_map.names == ("cat",)
    assert found.label_map.names == ("sun",)
    assert row.labels.tolist() == [1]


def test_the_annotation_that_counts(tmp_path):
    def annotation(x, **keys):
        return {"completed_by": 1, "result": [rectangle(x, 0, 10, 10)]} | keys

    cancelled = annotation(1, was_cancelled=True, updated_at="2024-05-09T10:00:00Z")
    early = annotation(20, updated_at="2024-05-01T10:00:00Z")
    late = annotation(30, updated_at="2024-05-02T10:00:00Z")
    marked = annotation(40, ground_truth=True, updated_at="2024-01-01T10:00:00Z")
    for given, left in (
        ([late, early, cancelled], 30),
        ([marked, late], 40),
        ([cancelled, early], 20),
    ):
        root = save(tmp_path, {"p.json": [task(annotations=given)]})
        found, errors, collected = read(LabelStudio(), root)
        assert errors == []
        assert found.row(0).boxes[0, 0] == left
        assert len(notes(collected)) == (cancelled in given) + (
            len(given) > 1 + (cancelled in given)
        )


def test_json_min(tmp_path):
    box = {
        "x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"],
        "original_width": 100, "original_height": 50,
    }  # fmt: skip
    rows = [
        {
            "image": "/data/upload/1/0a1b2c3d-a.png", "id": 1, "label": [box], "annotator": 1,
            "annotation_id": 4, "updated_at": "2024-05-01", "lead_time": 3.5,
            "weather": {"choices": ["sun", "fog"]},
        },
        {"image": "b.png", "id": 2, "annotation_id": 5, "choice": "sun", "lead_time": 3.5},
    ]  # fmt: skip
    root = save(tmp_path, {"p.json": rows}, ["a.png", "b.png"])
    found, errors, _ = read(LabelStudio(), root)
    assert errors == []
    assert found.row(0).boxes.tolist() == [[10, 10, 40, 30]]
    assert found.label_map.names == ("choice: sun", "weather: fog", "weather: sun")
    assert found.row(0).labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("/data/upload/1/0a1b2c3d-a.png", "a.png"),
        ("/data/upload/1/0a1b2c3d-a.png", "images/0a1b2c3d-a.png"),
        ("/data/local-files/?d=photos/sub%20folder/a.png", "sub folder/a.png"),
        ("https://example.com/bucket/a.png?token=1", "a.png"),
        ("s3://bucket/photos/a.png", "photos/a.png"),
    ],
)
def test_paths_of_images(tmp_path, image, file):
    root = save(tmp_path, {"p.json": [task(rectangle(1, 1, 9, 9), image=image)]}, [file])
    row, _ = one(LabelStudio(), root)
    assert row.path == root / file


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (rectangle(10, float("nan"), 5, 5), "is not finite"),
        (rectangle(10, 10, -5, 5), "has no area"),
        (rectangle(10, 10, 500, 5), "is outside the image"),
        (rectangle(10, 10, "x", 5), "expected percentages"),
        (rectangle(10, 10, 5, 5, "x"), "expected degrees"),
        (rectangle(10, 10, 5, 5, label=None), "the region has 0 labels"),
        (rectangle(10, 10, 5, 5, original_width=None), "`original_width`"),
        (rectangle(10, 10, 5, 5, original_width=99), "another image size"),
        (rectangle(10, 10, 5, 5, image_rotation=90), "was rotated by 90°"),
        (region("polygonlabels", {"points": [[1, 1], [2, 2]]}), "at least three"),
        (region("brushlabels", {"rle": [0, 0, 0, 1]}), "do not fill 100 × 50"),
        (region("brushlabels", {"rle": [0, 0, 78, 32, 57]}), "are truncated"),
        (region("brushlabels", {"rle": "abc"}), "not a list of bytes"),
        (region("brushlabels", {"rle": [300]}), "not a list of bytes"),
        (5, "the result is 5"),
        (rectangle(2, 2, 9, 9, number="r0"), "two regions have the same id"),
    ],
)
def test_invalid_regions(tmp_path, result, expected):
    valid = [rectangle(1, 1, 9, 9, number="r0"), rectangle(1, 1, 9, 9, number="r9")]
    root = save(tmp_path, {"p.json": [task(*valid, result)]})
    _, errors, _ = read(LabelStudio(), root)
    assert len(errors) == 1
    assert expected in errors[0]
    assert "p.json: task 1" in errors[0]


def test_files_that_cannot_be_read(tmp_path):
    for content in ('[{"id": 1, "completed_by"', '["completed_by"]'):
        with pytest.raises(DataError, match=r"p\.json"):
            read(LabelStudio(), save(tmp_path, {"p.json": content}))
    with pytest.raises(DataError, match="the task has no image"):
        read(LabelStudio(), save(tmp_path, {"p.json": [task() | {"data": {}}]}))
    _, errors, _ = read(
        LabelStudio(), save(tmp_path, {"p.json": [task(rectangle(1, 1, 9, 9), image="no.png")]})
    )
    assert "the image 'no.png' does not exist" in errors[0]
    root = save(tmp_path, {"p.json": [task(rectangle(1, 1, 9, 9))]})
    _, errors, _ = read(LabelStudio(), root, class_names=("dog",))
    assert "class 'cat' is not in the class map" in errors[0]
