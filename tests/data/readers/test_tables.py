"""Tables of boxes, labels and values for each image."""

import numpy as np
import pytest
from tests.data.readers.tool_files import notes, one, read, save

from visiongarden.data.readers.multi_label_csv import MultiLabelCSV
from visiongarden.data.readers.reader import Source
from visiongarden.data.readers.roboflow_csv import RoboflowCSV
from visiongarden.data.readers.roboflow_multi_label import RoboflowMultiLabel
from visiongarden.data.readers.values_csv import ValuesCSV
from visiongarden.errors import DataError

HEAD = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def test_roboflow_csv(tmp_path):
    root = save(
        tmp_path,
        {
            "train/_annotations.csv": HEAD
            + "a.png,100,50,cat,10,20,30,40\na.png,100,50,dog,1,2,3,4.5\n",
            "valid/_annotations.csv": HEAD + "c.png,100,50,ant,10,20,30,40\n",
        },
        ["train/a.png", "train/b.png", "valid/c.png"],
    )
    assert RoboflowCSV().splits(Source(root)) == ("train", "val")
    found, errors, collected = read(RoboflowCSV(), root)
    assert errors == []
    assert found.row(0).boxes.tolist() == [[10, 20, 30, 40], [1, 2, 3, 4.5]]
    assert found.class_map.names == ("ant", "cat", "dog")
    assert notes(collected) == ["1 images are not in the table and not read"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.png,100,50,cat,nan,20,30,40", "is not finite"),
        ("a.png,100,50,cat,30,20,10,40", "has no area"),
        ("a.png,100,50,cat,x,20,10,40", "not four numbers"),
        ("a.png,50,100,cat,1,20,10,40", "is not that in another line"),
        ("no.png,100,50,cat,1,20,10,40", "'no.png' does not exist"),
    ],
)
def test_invalid_lines_of_roboflow_csv(tmp_path, line, expected):
    content = f"{HEAD}a.png,100,50,cat,10,20,30,40\n{line}\n"
    _, errors, _ = read(
        RoboflowCSV(), save(tmp_path, {"train/_annotations.csv": content}, ["train/a.png"])
    )
    assert len(errors) == 1
    assert expected in errors[0]
    assert "_annotations.csv:3" in errors[0]


def test_roboflow_csv_that_cannot_be_read(tmp_path):
    for content, expected in (
        ("filename,class\na.png,cat\n", "has no column width"),
        (HEAD + "a.png,100\n", "the line has 2 cells"),
    ):
        root = save(tmp_path, {"train/_annotations.csv": content}, ["train/a.png"])
        with pytest.raises(DataError, match=expected):
            read(RoboflowCSV(), root)


def test_roboflow_multi_label(tmp_path):
    root = save(
        tmp_path,
        {
            "train/_classes.csv": "filename, cat, dog\na.png, 1, 0\nb.png, 1, 1\n",
            "test/_classes.csv": "filename, cat, dog\nc.png, 0, 0\n",
        },
        ["train/a.png", "train/b.png", "test/c.png"],
    )
    assert RoboflowMultiLabel().splits(Source(root)) == ("train", "test")
    found, errors, _ = read(RoboflowMultiLabel(), root)
    assert errors == []
    assert found.class_map.names == ("cat", "dog")
    assert found.label_map is None
    assert [row.labels.tolist() for row in found.rows()] == [[1, 0], [1, 1]]
    assert found.counts().tolist() == [2, 1]
    assert found.fields >= {"labels"}


def test_unknown_labels_are_nan(tmp_path):
    content = "image,cat,dog,split\na,1,-1,train\nimages/b.png,,0,valid\nc.png,1,1,\n"
    root = save(tmp_path, {"labels.csv": content}, ["a.png", "images/b.png", "c.png"])
    assert MultiLabelCSV().splits(Source(root)) == ("train", "val")
    found, errors, _ = read(MultiLabelCSV(), root)
    assert errors == []
    first, second = (row.labels for row in found.rows())
    assert first[0] == 1
    assert np.isnan(first[1])
    assert second.tolist() == [1, 1]
    assert first.dtype == np.float32
    row, _ = one(MultiLabelCSV(columns=["dog"]), root, split="val")
    assert row.labels.tolist() == [0]


def test_values(tmp_path):
    root = save(
        tmp_path,
        {
            "train.csv": "frame,angle,throttle\na.png,-0.25,1e1\nb.png,nan,\n",
            "val.csv": "frame,angle,throttle\na.png,0,0\n",
        },
        ["a.png", "b.png"],
    )
    reader = ValuesCSV(image_column="frame", columns=["throttle", "angle"], units=["", "rad"])
    assert reader.splits(Source(root)) == ("train", "val")
    found, errors, _ = read(reader, root)
    assert errors == []
    assert found.label_map.names == ("throttle", "angle")
    assert found.label_map.units == ("", "rad")
    assert found.row(0).labels.tolist() == [10, -0.25]
    assert np.isnan(found.row(1).labels).all()
    with pytest.raises(DataError, match="no column has a usual name") as caught:
        read(ValuesCSV(), root)
    assert caught.value.fix == 'image_column="frame"'
    with pytest.raises(DataError, match="has no column 'angel'") as caught:
        read(ValuesCSV(image_column="frame", columns=["angel"]), root)
    assert "did you mean angle" in caught.value.fix


@pytest.mark.parametrize(
    ("reader", "line", "expected"),
    [
        (MultiLabelCSV(), "b.png,2,0", "'x' is '2'"),
        (MultiLabelCSV(), "b.png,yes,0", "'x' is 'yes'"),
        (ValuesCSV(), "b.png,inf,0", "'x' is 'inf'"),
        (ValuesCSV(), "b.png,1e99,0", "'x' is '1e99'"),
        (ValuesCSV(), "no.png,1,0", "'no.png' does not exist"),
        (ValuesCSV(), "a.png,1,0", "appears twice in train"),
    ],
)
def test_invalid_cells(tmp_path, reader, line, expected):
    root = save(tmp_path, {"t.csv": f"image,x,y\na.png,1,0\n{line}\n"}, ["a.png", "b.png"])
    _, errors, _ = read(reader, root)
    assert len(errors) == 1
    assert expected in errors[0]
    assert "t.csv:3" in errors[0]


def test_tables_that_cannot_be_read(tmp_path):
    for content, expected in (
        ("", "is empty"),
        ("image,x,x\na.png,1,2\n", "a name occurs twice"),
        ("image,x\na.png,1,2\n", "the line has 3 cells"),
        ("image,x,split\na.png,1,../y\n", "is not a valid file name"),
    ):
        with pytest.raises(DataError, match=expected):
            read(ValuesCSV(), save(tmp_path, {"t.csv": content}))
