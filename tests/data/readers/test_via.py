"""VIA's project and its exports as JSON and CSV: exact shapes, the attribute with the class."""

import csv
import io
import json
import math

import pytest
from tests.data.readers.tool_files import notes, one, read, save

from visiongarden.data.readers.via import VIA
from visiongarden.errors import DataError
from visiongarden.samples.masks import area_of


def region(shape, attributes=None):
    return {
        "shape_attributes": shape,
        "region_attributes": {"class": "cat"} if attributes is None else attributes,
    }


def rect(x, y, width, height):
    return {"name": "rect", "x": x, "y": y, "width": width, "height": height}


def export(*regions, name="a.png"):
    return {
        f"{name}123": {
            "filename": name, "size": 123, "regions": list(regions), "file_attributes": {},
        }
    }  # fmt: skip


def project(*regions):
    return {
        "_via_settings": {"ui": {}}, "_via_img_metadata": export(*regions),
        "_via_attributes": {"region": {"class": {"type": "text"}}, "file": {}},
        "_via_data_format_version": "2.0.10", "_via_image_id_list": ["a.png123"],
    }  # fmt: skip


def test_shapes(tmp_path):
    regions = [
        region(rect(10, 21, 21, 25)),
        region({"name": "polygon", "all_points_x": [60, 90, 90], "all_points_y": [10, 10, 30]}),
        region({"name": "circle", "cx": 50, "cy": 20, "r": 10}),
        region({"name": "ellipse", "cx": 50, "cy": 25, "rx": 20, "ry": 10, "theta": math.pi / 2}),
        region({"name": "polyline", "all_points_x": [5, 25], "all_points_y": [40, 45]}),
    ]
    for content in (project(*regions), export(*regions)):
        found, errors, collected = read(VIA(), save(tmp_path, {"via.json": content}))
        assert errors == []
        row = found.row(0)
        assert row.boxes[[0, 1, 2, 4]].tolist() == [
            [10, 21, 31, 46], [60, 10, 90, 30], [40, 10, 60, 30], [5, 40, 25, 45]
        ]  # fmt: skip
        # Turned by 90°, the radii are exchanged.
        assert row.boxes[3].tolist() == pytest.approx([40, 5, 60, 45])
        assert area_of(row.polygons[3]) == pytest.approx(math.pi * 200, rel=0.002)
        assert row.polygons[0] is None
        assert row.polygons[1][0].tolist() == [[60, 10], [90, 10], [90, 30]]
        assert row.polygons[4] is None
        assert notes(collected) == ["1 polylines are read as the boxes around them"]


def test_csv_export(tmp_path):
    stream = io.StringIO()
    writer = csv.writer(stream)
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes"
    writer.writerow([*head.split(","), "region_attributes"])
    shapes = [rect(10, 21, 21, 25), rect(1, 2, 3, 4)]
    for number, shape in enumerate(shapes):
        attributes = json.dumps({"class": "dog" if number else "cat"})
        writer.writerow(["a.png", 9, '{"caption": "x"}', 2, number, json.dumps(shape), attributes])
    writer.writerow(["b.png", 9, "{}", 0, 0, "{}", "{}"])
    root = save(tmp_path, {"via.csv": stream.getvalue()}, ["a.png", "b.png"])
    found, errors, _ = read(VIA(), root)
    assert errors == []
    assert [row.boxes.tolist() for row in found.rows()] == [[[10, 21, 31, 46], [1, 2, 4, 6]], []]
    assert found.class_map.names == ("cat", "dog")
    assert "caption" in found.row(0).unknown


def test_the_attribute_with_the_class(tmp_path):
    checkbox = region(rect(1, 2, 3, 4), {"kind": {"ant": True, "bee": False}, "size": "small"})
    root = save(tmp_path, {"via.json": export(checkbox)})
    with pytest.raises(DataError, match="several attributes") as caught:
        read(VIA(), root)
    assert caught.value.fix == 'reader={"type": "VIA", "attribute": \'kind\'}'
    row, found = one(VIA(attribute="kind"), root)
    assert found.class_map.names == ("ant",)
    assert json.loads(row.unknown)["objects"] == [{"region_attributes": {"size": "small"}}]
    with pytest.raises(DataError, match="no region has the attribute 'age'"):
        read(VIA(attribute="age"), root)
    usual = region(rect(1, 2, 3, 4), {"Label": "fly", "size": "small"})
    _, found = one(VIA(), save(tmp_path, {"via.json": export(usual)}))
    assert found.class_map.names == ("fly",)
    _, found = one(VIA(), save(tmp_path, {"via.json": export(region(rect(1, 2, 3, 4), {}))}))
    assert found.class_map.names == ("object",)


def test_points_are_keypoints_of_the_only_object(tmp_path):
    point = region({"name": "point", "cx": 15, "cy": 25}, {"class": "eye"})
    row, found = one(VIA(), save(tmp_path, {"a.json": export(region(rect(10, 21, 21, 25)), point)}))
    assert row.keypoints.tolist() == [[[15, 25, 2]]]
    assert found.class_map.names == ("cat",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (region(rect(1, float("nan"), 3, 4)), "is not finite"),
        (region(rect(10, 10, -3, 4)), "has no area"),
        (region(rect(90, 10, 30, 4)), "is outside the image"),
        (region(rect("x", 10, 30, 4)), "expected numbers"),
        (region({"name": "circle", "cx": 1, "cy": 2}), "r: None"),
        (region({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}), "equal"),
        (region({"name": "star"}), "is not known"),
        (region(rect(1, 2, 3, 4), {"class": ""}), "has no class"),
        (region(rect(1, 2, 3, 4), {"class": 5}), "has no class"),
        ({"shape_attributes": 5}, "expected an object"),
    ],
)
def test_invalid_regions(tmp_path, given, expected):
    root = save(tmp_path, {"via.json": export(region(rect(1, 1, 5, 5)), given)})
    _, errors, _ = read(VIA(), root)
    assert len(errors) == 1
    assert expected in errors[0]
    assert "via.json: image 1 (a.png): regions[1]" in errors[0]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="line 1"):
        read(
            VIA(), save(tmp_path, {"via.json": json.dumps(project(region(rect(1, 2, 3, 4))))[:90]})
        )
    with pytest.raises(DataError, match="has no `filename`"):
        read(VIA(), save(tmp_path, {"via.json": {"_via_img_metadata": {"a": {"regions": []}}}}))
    _, errors, _ = read(
        VIA(), save(tmp_path, {"via.json": export(region(rect(1, 2, 3, 4)), name="no.png")})
    )
    assert "the image 'no.png' does not exist" in errors[0]
    root = save(tmp_path, {"via.json": export(region(rect(1, 2, 3, 4)))})
    assert "not in the class map: dog" in read(VIA(), root, class_names=("dog",))[1][0]
