"""Anchors that are too large or too small for every object are refused before the first step."""

import ast
import json
import shlex
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.training import check_anchors

SIDE = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two images of 64 × 128 pixels with squares of 10 pixels, and a crowd region of 64."""
    folder = tmp_path_factory.mktemp("squares")
    images, annotations = [], []
    for number in range(2):
        name = f"{number}.png"
        cv2.imwrite(str(folder / name), np.full((64, 128, 3), 40 * number, np.uint8))
        images.append({"id": number, "file_name": name, "width": 128, "height": 64})
        for row, x in enumerate((10, 40, 64)):
            side = 64 if x == 64 else SIDE
            annotations.append(
                {"id": 3 * number + row, "image_id": number, "category_id": 1, "area": side**2}
                | {"bbox": [x, 0, side, side], "iscrowd": int(x == 64)}
            )
    categories = [{"id": 1, "name": "square"}]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(text)
    return folder


def model(head, size=(64, 64)):
    """What the check reads of a model, which takes seconds to build."""
    return SimpleNamespace(
        parts=SimpleNamespace(head=head),
        image_size=size,
        resize=vg.transforms.Letterbox(),
        context=lambda: SimpleNamespace(levels=("p3", "p4", "p5")),
    )


def retinanet(**fields):
    return vg.heads.RetinaNetHead(num_classes=1, filters=8, **fields)


def anchors(*sides):
    levels = zip(("p3", "p4", "p5"), sides, strict=True)
    return vg.heads.AnchorBased(num_classes=1, anchors={lv: ((s, s),) for lv, s in levels})


def mask_rcnn(**fields):
    return vg.heads.MaskRCNN(
        num_classes=1, filters=8, box_units=8, box_size=3, mask_size=5, mask_convs=1, **fields
    )


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        # The letterbox halves the images: the squares have 5 pixels, the crowd region 32.
        (retinanet(anchor_size=3, anchor_ratios=(1,), anchor_scales=(1,)), "24 × 24 to 96 × 96"),
        (anchors(17, 40, 90), "17 × 17 to 90 × 90"),
        (mask_rcnn(anchor_size=5), "57 × 28 to 226 × 113"),
    ],
)
def test_anchors_of_another_size_are_an_error_with_a_fix_that_works(data, head, shown):
    train = vg.read(data)
    with pytest.raises(UserError, match="no object of the training split matches") as error:
        check_anchors(model(head), train)
    assert error.value.received.startswith(f"anchors of {shown} pixels; 4 objects of 5 × 5 pixels")
    assert "\n" not in error.value.received
    name, _, value = error.value.fix.partition("=")
    check_anchors(model(head.replace(**{name: ast.literal_eval(value)})), train)


def test_objects_at_the_image_size_of_the_model_decide(data):
    train, head = vg.read(data), anchors(15, 40, 90)
    check_anchors(model(head), train)  # IoU 25/225
    head = anchors(40, 50, 90)
    check_anchors(model(head, (128, 128)), vg.read(data).with_rows([]))
    with pytest.raises(UserError, match=r"IoU 0\.06 at most"):
        check_anchors(model(head, (128, 128)), train)
    check_anchors(model(head, (192, 192)), train)


def test_without_the_best_anchor_the_threshold_of_positives_counts(data):
    one = {"anchor_size": 1, "anchor_ratios": (1,), "anchor_scales": (1,)}  # 8, 16 and 32 pixels
    check_anchors(model(retinanet(**one)), vg.read(data))  # IoU 25/64
    strict = {"type": "MaxIoU", "positive": 0.5, "match_best": False}
    with pytest.raises(UserError, match=r"at least 0\.5"):
        check_anchors(model(retinanet(**one, assigner=strict)), vg.read(data))


def test_a_run_is_refused_before_its_folder_is_created(data, tmp_path):
    recipe = {
        "data": {"path": str(data)},
        "model": {
            "backbone": {"type": "CSPDarknet", "width": 0.125, "depth": 0.33},
            "decoder": {"type": "FPN", "channels": 8},
            "head": {"type": "RetinaNetHead", "filters": 8, "anchor_size": 40},
            "image_size": [64, 64],
        },
        "training": {"epochs": 1, "batch_size": 2, "precision": "float32"},
    }
    with pytest.raises(UserError, match="no object of the training split") as error:
        vg.train(recipe, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (override,) = shlex.split(error.value.fix)
    assert override == "model.head.anchor_size=0.71"
