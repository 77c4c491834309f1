"""CVAT's XML for images: exact boxes, masks, skeletons, tags, subsets, and errors with lines."""

import json

import numpy as np
import pytest
from tests.data.readers.tool_files import notes, one, read, save

from visiongarden.data.readers.cvat_images import CVATImages
from visiongarden.data.readers.reader import Source
from visiongarden.errors import DataError
from visiongarden.samples.masks import fill

NODE = "&lt;circle r='1' data-type='element node' data-node-id='{}' data-label-name='{}'&gt;"
EDGE = "&lt;line x1='1' data-type='edge' data-node-from='1' data-node-to='2'&gt;"
SVG = (EDGE + NODE.format(1, "left ear") + NODE.format(2, "right ear")).replace("'", '"')
LABELS = f"""<meta><task><labels>
<label><name>car</name><type>any</type><attributes></attributes></label>
<label><name>person</name><type>skeleton</type>
<svg>{SVG}</svg></label>
<label><name>left ear</name><type>points</type><parent>person</parent></label>
<label><name>right ear</name><type>points</type><parent>person</parent></label>
<label><name>sunny</name><type>tag</type></label>
</labels></task></meta>
"""


def xml(*shapes, labels="", name="a.png", more=""):
    image = f'<image id="0" name="{name}" width="100" height="50"{more}>\n'
    inner = "\n".join(shapes)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"{labels}{image}{inner}\n</image>\n</annotations>\n"
    )


def box(x1, y1, x2, y2, label="car", more=""):
    return (
        f'<box label="{label}" source="manual" occluded="0" xtl="{x1}" ytl="{y1}" xbr="{x2}" '
        f'ybr="{y2}" z_order="0"{more}></box>'
    )


def polygon(points, label="car", more=""):
    return f'<polygon label="{label}" occluded="0" points="{points}" z_order="0"{more}></polygon>'


def test_boxes_and_attributes(tmp_path):
    shape = box(10.5, 21, 31, 46, more="").replace(
        "></box>", '><attribute name="color">red</attribute></box>'
    )
    root = save(tmp_path, {"annotations.xml": xml(shape, labels=LABELS)}, ["images/a.png"])
    row, found = one(CVATImages(), root)
    assert row.boxes.tolist() == [[10.5, 21, 31, 46]]
    assert found.class_map.names == ("car", "person")
    assert json.loads(row.unknown)["objects"] == [
        {"source": "manual", "attributes": {"color": "red"}}
    ]


def test_a_rotation_is_clockwise_around_the_center(tmp_path):
    shapes = [box(40, 20, 60, 30, more=' rotation="30.0"'), box(10, 10, 14, 30)]
    row, _ = one(CVATImages(), save(tmp_path, {"a.xml": xml(*shapes)}))
    assert row.boxes.tolist() == [[50, 25, 20, 10, 30], [12, 20, 20, 4, -90]]
    row, _ = one(
        CVATImages(), save(tmp_path, {"a.xml": xml(*(s.replace("30.0", "0.0") for s in shapes))})
    )
    assert row.boxes.tolist() == [[40, 20, 60, 30], [10, 10, 14, 30]]


def test_polygons_of_one_group_are_one_object(tmp_path):
    shapes = [
        polygon("0,0;10,0;10,10", more=' group_id="3"'),
        polygon("20.5,20;30,20;30,30", more=' group_id="3"'),
        polygon("50,0;60,0;60,10", "bus", more=' group_id="3"'),
        polygon("50,20;60,20;60,30"),
        polygon("50,30;60,30;60,40"),
    ]
    row, found = one(CVATImages(), save(tmp_path, {"a.xml": xml(*shapes)}))
    assert [len(rings) for rings in row.polygons] == [2, 1, 1, 1]
    assert row.boxes[0].tolist() == [0, 0, 30, 30]
    assert found.class_map.names == ("bus", "car")
    assert row.classes.tolist() == [1, 0, 1, 1]


def test_ellipses_and_polylines(tmp_path):
    shapes = [
        '<ellipse label="car" cx="50" cy="25" rx="20" ry="10" rotation="90"></ellipse>',
        '<polyline label="car" points="1,2;30,40"></polyline>',
        '<cuboid label="car" xtl1="1"></cuboid>',
    ]
    found, errors, collected = read(CVATImages(), save(tmp_path, {"a.xml": xml(*shapes)}))
    assert errors == []
    assert found.row(0).boxes[0].tolist() == pytest.approx([40, 5, 60, 45])
    assert found.row(0).boxes[1].tolist() == [1, 2, 30, 40]
    assert sorted(notes(collected)) == [
        "1 cuboids are not read",
        "1 polylines are read as the boxes around them",
    ]


def test_masks(tmp_path):
    """Row by row in a rectangle of 4 × 3 pixels at (10, 20): .xx. / xxxx / ...x"""
    shape = (
        '<mask label="car" rle="1, 2, 1, 4, 3, 1" left="10" top="20" width="4" height="3"></mask>'
    )
    row, _ = one(CVATImages(), save(tmp_path, {"a.xml": xml(shape)}))
    expected = np.zeros((50, 100), bool)
    expected[20:23, 10:14] = [[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1]]
    assert (fill(row.polygons[0], (50, 100)) == expected).all()
    assert row.boxes.tolist() == [[10, 20, 14, 23]]


def test_skeletons_and_points(tmp_path):
    shapes = [
        '<skeleton label="person" z_order="0">'
        '<points label="left ear" outside="0" occluded="0" points="10,20"></points>'
        '<points label="right ear" outside="0" occluded="1" points="30,40.5"></points></skeleton>',
        '<skeleton label="person"><points label="right ear" points="60,10"></points>'
        '<points label="left ear" outside="1" points="1,1"></points>'
        '<points label="nose" outside="0" points="70,30"></points></skeleton>',
    ]
    row, found = one(CVATImages(), save(tmp_path, {"a.xml": xml(*shapes, labels=LABELS)}))
    assert row.boxes.tolist() == [[10, 20, 30, 40.5], [60, 10, 70, 30]]
    assert row.keypoints.tolist() == [
        [[10, 20, 2], [30, 40.5, 1], [0, 0, 0]],
        [[0, 0, 0], [60, 10, 2], [70, 30, 2]],
    ]
    keypoints = found[0].instances.keypoints
    assert keypoints.names == ("left ear", "right ear", "nose")
    assert keypoints.pairs == ((0, 1),)
    assert keypoints.skeleton == ((0, 1),)
    points = '<points label="car" points="10,20;30,40" occluded="0"></points>'
    row, _ = one(CVATImages(), save(tmp_path, {"a.xml": xml(points)}))
    assert row.boxes.tolist() == [[10, 20, 30, 40]]
    assert row.keypoints.tolist() == [[[10, 20, 2], [30, 40, 2]]]


def test_tags(tmp_path):
    tag = '<tag label="sunny" source="manual"></tag>'
    both = xml(box(1, 2, 3, 4), tag, labels=LABELS)
    row, found = one(CVATImages(), save(tmp_path, {"a.xml": both}))
    assert found.class_map.names == ("car", "person")
    assert found.label_map.names == ("sunny",)
    assert row.labels.tolist() == [1]
    row, found = one(CVATImages(), save(tmp_path, {"a.xml": xml(tag)}))
    assert found.class_map.names == ("sunny",)
    assert found.label_map is None
    assert len(row.boxes) == 0


def test_subsets_are_splits(tmp_path):
    images = "".join(
        f'<image id="{i}" name="{name}.png" subset="{subset}" width="100" height="50">'
        f'{box(1, 2, 3, 4, name)}</image>'
        for i, (name, subset) in enumerate((("a", "Train"), ("b", "Validation"), ("c", "extra")))
    )  # fmt: skip
    root = save(
        tmp_path,
        {"annotations.xml": f"<annotations><version>1.1</version>{images}</annotations>"},
        ["images/Train/a.png", "images/Validation/b.png", "images/extra/c.png"],
    )
    assert CVATImages().splits(Source(root)) == ("train", "val", "extra")
    row, found = one(CVATImages(), root, split="val")
    assert row.path == root / "images" / "Validation" / "b.png"
    assert found.class_map.names == ("a", "b", "c")
    assert row.classes.tolist() == [1]
    with pytest.raises(DataError, match="has no split 'test'"):
        read(CVATImages(), root, split="test")


def test_images_in_no_subset(tmp_path):
    content = xml(box(1, 2, 3, 4), more=' subset="default"')
    root = save(tmp_path, {"annotations.xml": content}, ["images/default/a.png"])
    assert CVATImages().splits(Source(root)) == ("train",)
    assert len(one(CVATImages(), root)[0].boxes) == 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (box("nan", 2, 3, 4), "is not finite"),
        (box(5, 2, 3, 4), "has no area"),
        (box(5, 2, 300, 4), "is outside the image"),
        (box("x", 2, 3, 4), "expected numbers"),
        (box(1, 2, 3, 4, ""), "has no label"),
        (box(1, 2, 3, 4, more=' rotation="x"'), "expected numbers"),
        (polygon("1,2;3,4"), "expected at least 3"),
        (polygon("1,2;3;5,6"), "expected x,y;x,y"),
        (polygon("1,2;3,nan;5,6"), "expected x,y;x,y"),
        ('<mask label="car" rle="1, 2" left="1" top="2" width="2" height="2"/>', "do not fill"),
        ('<mask label="car" rle="-1, 5" left="1" top="2" width="2" height="2"/>', "do not fill"),
        ('<mask label="car" rle="4" left="1" top="2" width="2" height="2"/>', "is empty"),
        ('<mask label="car" rle="4" left="1" top="2" width="99999" height="99999"/>', "at most"),
        ('<mask label="car" rle="4" left="1" top="2" width="2"/>', "no valid left"),
        ('<skeleton label="car"></skeleton>', "no visible point"),
        ("<star label='car'></star>", "is not known"),
    ],
)
def test_invalid_shapes(tmp_path, shape, expected):
    _, errors, _ = read(CVATImages(), save(tmp_path, {"a.xml": xml(box(1, 1, 5, 5), shape)}))
    assert len(errors) == 1
    assert expected in errors[0]
    assert "a.xml:6:" in errors[0]


def test_files_that_cannot_be_read(tmp_path):
    text = xml(box(1, 1, 5, 5))
    bomb = text.replace("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]>\n<annotations>')
    for content, expected in ((text[:-20], "not valid XML"), (bomb, "document type")):
        with pytest.raises(DataError, match=expected):
            read(CVATImages(), save(tmp_path, {"a.xml": content}))
    _, errors, _ = read(
        CVATImages(), save(tmp_path, {"a.xml": xml(box(1, 1, 5, 5), name="no.png")})
    )
    assert "the image 'no.png' does not exist" in errors[0]
    sized = text.replace('width="100" height="50"', 'width="50" height="100"')
    _, errors, _ = read(CVATImages(), save(tmp_path, {"a.xml": sized}))
    assert "width and height are swapped" in errors[0]
    root = save(tmp_path, {"a.xml": text})
    assert "not in the class map: bus" in read(CVATImages(), root, class_names=("bus",))[1][0]


def test_many_attributes_are_refused(tmp_path):
    content = xml('<x a="" b="" c="" d=""/>' * 3000)
    with pytest.raises(DataError, match="too many elements for its length"):
        read(CVATImages(), save(tmp_path, {"a.xml": content}))
