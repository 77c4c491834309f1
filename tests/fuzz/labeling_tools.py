"""Small valid datasets as labeling tools write them, to mutate."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any


def _text(value: Any) -> bytes:
    return json.dumps(value).encode()


def _labelme(png: bytes) -> dict[str, bytes]:
    shapes = [
        ("rectangle", [[1, 2], [9, 9]], "a", None, None),
        ("polygon", [[1, 2], [9, 9], [4, 20]], "b", 1, None),
        ("polygon", [[21, 2], [29, 9], [24, 20]], "b", 1, None),
        ("point", [[5, 5]], "left eye", 1, None),
        ("circle", [[20, 20], [23, 24]], "a", None, None),
        ("rotation", [[10, 10], [20, 10], [20, 15], [10, 15]], "a", None, None),
        ("mask", [[0, 0], [47, 39]], "a", None, base64.b64encode(png).decode()),
    ]
    file = {
        "version": "5.4.1", "flags": {}, "imagePath": "0.png", "imageData": None,
        "imageHeight": 40, "imageWidth": 48,
        "shapes": [
            {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {},
             "mask": mask}
            for kind, points, label, group, mask in shapes
        ],
    }  # fmt: skip
    return {"0.json": _text(file)}


def _label_studio() -> dict[str, bytes]:
    values = [
        {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 20, "rectanglelabels": ["a"]},
        {"points": [[1, 2], [30, 40], [20, 60]], "polygonlabels": ["b"]},
        {"x": 20, "y": 20, "width": 0.5, "keypointlabels": ["eye"]},
        {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["a"]},
        # One run of 40 × 48 × 4 opaque values.
        {"format": "rle", "rle": [0, 0, 30, 0, 57, 27, 255, 29, 255, 255], "brushlabels": ["b"]},
    ]  # fmt: skip
    results: list[Any] = [
        {"id": f"r{i}", "type": "x", "from_name": "label", "to_name": "image", "value": value,
         "original_width": 48, "original_height": 40, "image_rotation": 0, "parentID": "r0"}
        for i, value in enumerate(values)
    ]  # fmt: skip
    results.append({"type": "choices", "from_name": "w", "value": {"choices": ["sun"]}})
    annotation = {"completed_by": 1, "was_cancelled": False, "result": results}
    tasks = [
        {
            "id": i,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{i}.png"},
            "annotations": [annotation],
        }
        for i in range(2)
    ]
    return {"project.json": _text(tasks)}


def _via() -> dict[str, bytes]:
    shapes = [
        {"name": "rect", "x": 1, "y": 2, "width": 9, "height": 9},
        {"name": "polygon", "all_points_x": [1, 9, 4], "all_points_y": [2, 3, 20]},
        {"name": "circle", "cx": 20, "cy": 20, "r": 5},
        {"name": "ellipse", "cx": 20, "cy": 20, "rx": 5, "ry": 6, "theta": 0.5},
        {"name": "polyline", "all_points_x": [1, 9], "all_points_y": [2, 3]},
        {"name": "point", "cx": 20, "cy": 20},
    ]
    regions = [{"shape_attributes": s, "region_attributes": {"class": "a"}} for s in shapes]
    images = {"0.png9": {"filename": "0.png", "size": 9, "regions": regions, "file_attributes": {}}}
    return {"via.json": _text({"_via_settings": {}, "_via_img_metadata": images})}


CVAT = b"""<annotations><version>1.1</version><meta><task><labels><label><name>a</name>
<type>any</type></label><label><name>b</name><svg>&lt;line data-node-from="1" data-node-to="2"&gt;
&lt;circle data-node-id="1" data-label-name="p"&gt;</svg></label></labels></task></meta>
<image id="0" name="0.png" width="48" height="40" subset="train">
<box label="a" xtl="1" ytl="2" xbr="9" ybr="9" rotation="20" group_id="1"><attribute name="c">d
</attribute></box><polygon label="b" points="1,2;9,9;4,20" group_id="2"/>
<ellipse label="a" cx="20" cy="20" rx="5" ry="6"/><polyline label="a" points="1,2;9,9"/>
<mask label="a" rle="1, 2, 1" left="2" top="3" width="2" height="2"/>
<skeleton label="b"><points label="p" points="1,2"/><points label="q" points="9,9"/></skeleton>
<points label="a" points="1,2;9,9"/><tag label="a"/></image></annotations>
"""


def sets_of_tools(png: Callable[[int], bytes], mask: bytes) -> dict[str, dict[str, bytes]]:
    """Return the files of each dataset by the name of its reader.

    Args:
        png: Function that returns an image of 40 × 48 pixels for a number.
        mask: PNG of a mask of 40 × 48 pixels.
    """
    box = {"x": 9, "y": 9, "width": 4, "height": 4}
    entries = [
        {"image": "0.png", "annotations": [{"label": "a", "coordinates": box}]},
        {"image": "1.png", "annotations": ["b"]},
    ]
    pictures = {"0.png": png(0), "1.png": png(1)}
    return {
        "Labelme": _labelme(mask) | pictures,
        "LabelStudio": _label_studio() | pictures,
        "VIA": _via() | pictures,
        "CVATImages": {"annotations.xml": CVAT} | pictures,
        "CreateML": {"labels.json": _text(entries)} | pictures,
        "DOTA": {
            "train/labelTxt/0.txt": b"imagesource:G\ngsd:0.1\n1 1 9 1 9 9 1 9 plane 0\n"
            b"10.5 1 19 4 17 9 10 7 large vehicle 1\n",
            "train/images/0.png": png(0),
        },
        "DarknetData": {
            "obj.data": b"classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n",
            "obj.names": b"a\nb\n",
            "train.txt": b"data/obj_train_data/0.png\n",
            "obj_train_data/0.txt": b"0 0.5 0.5 0.2 0.2\n1 0.5 0.5 1 1\n",
            "obj_train_data/0.png": png(0),
        },
        "LabelImg": {
            "classes.txt": b"a\nb\n", "0.txt": b"0 0.5 0.5 0.2 0.2\n", "0.png": png(0),
        },
        "RoboflowCSV": {
            "train/_annotations.csv": b"filename,width,height,class,xmin,ymin,xmax,ymax\n"
            b"0.png,48,40,a,1,2,9,9\n0.png,48,40,b,1,2,9.5,9\n",
            "train/0.png": png(0),
        },
        "RoboflowMultiLabel": {
            "train/_classes.csv": b"filename, a, b\n0.png, 1, 0\n", "train/0.png": png(0),
        },
        "MultiLabelCSV": {
            "labels.csv": b"image,a,b,split\n0.png,1,-1,train\n1,,0,val\n",
        }
        | pictures,
        "ValuesCSV": {"train.csv": b"image,x,y\n0.png,1.5,nan\n1.png,-2e1,0\n"} | pictures,
    }  # fmt: skip
