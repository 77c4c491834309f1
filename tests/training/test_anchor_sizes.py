"""Anchors that do not fit the objects cause an error or a warning before the first step."""

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


@pytest.fixture
def squares(tmp_path):
    """Return a function that writes a dataset with one 64 × 64 image for each list of sides."""

    def write(*images):
        annotations = [
            {"id": 100 * number + row, "image_id": number, "category_id": 1, "area": side**2}
            | {"bbox": [0, 0, side, side], "iscrowd": 0}
            for number, sides in enumerate(images)
            for row, side in enumerate(sides)
        ]
        files = [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 64} for n in range(9)]
        for number in range(len(images)):
            cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 64, 3), number, np.uint8))
        categories = [{"id": 1, "name": "square"}]
        content = {"images": files[: len(images)], "annotations": annotations}
        (tmp_path / "train.json").write_text(json.dumps(content | {"categories": categories}))
        return vg.read(tmp_path)

    return write


SQUARE = {"anchor_ratios": (1,), "anchor_scales": (1,)}


@pytest.mark.parametrize(
    ("head", "share", "shown"),
    [
        # The IoU of squares of 14 and 32 pixels is 0.19.
        (retinanet(anchor_size=4, **SQUARE), "0%", "32 × 32 to 128 × 128 pixels"),
        (anchors(30, 40, 90), "0%", "30 × 30 to 90 × 90 pixels"),
        (mask_rcnn(anchor_size=4), "0%", "45 × 23 to 128 × 128 pixels"),
    ],
)
def test_anchors_that_match_few_objects_are_reported(squares, head, share, shown):
    train = squares([14, 14, 14], [14, 13])
    (warning,) = check_anchors(model(head), train)
    assert warning.startswith(f"only {share} of the objects match the size of an anchor")
    assert f"anchors of {shown}, objects of 14 × 14 (median)" in warning
    values = warning.partition("100% would match with ")[2]
    name, _, value = values.partition("=")
    assert check_anchors(model(head.replace(**{name: ast.literal_eval(value)})), train) == []


def test_half_of_the_objects_are_enough(squares):
    head = retinanet(anchor_size=2, **SQUARE)  # 16, 32 and 64 pixels
    # The IoU of 8 and 16 pixels is 0.25.
    assert check_anchors(model(head), squares([8, 8, 16, 16])) == []
    (warning,) = check_anchors(model(head), squares([8, 8, 8, 16, 16]))
    assert warning.startswith("only 40% of the objects")
    # The sizes differ so much that the proposed anchors would not match more objects.
    assert check_anchors(model(head), squares([6, 7, 64])) == []


def test_without_objects_there_is_no_warning(squares):
    assert check_anchors(model(retinanet()), squares([16]).with_rows([])) == []


def test_all_images_are_read_before_a_refusal(squares, monkeypatch):
    monkeypatch.setattr("visiongarden.training.anchor_sizes._IMAGES", 1)
    head = retinanet(anchor_size=8, **SQUARE)  # 64 to 256 pixels
    assert check_anchors(model(head), squares([6], [6], [64])) == []
    with pytest.raises(UserError, match="2 objects of 6 × 6 pixels"):
        check_anchors(model(head), squares([6], [6]))


def test_small_anchors_of_a_coarse_level_are_not_proposed():
    sides = np.full((100, 2), 14, np.float32)
    # On average, a cell of p4 is 4 pixels away along each axis. There, the IoU is 100 / 292 with
    # anchors of 14 pixels, and 159 / 406 with those of 19.2.
    assert retinanet(**SQUARE).fitting_anchors(sides, ("p4", "p5")) == {"anchor_size": 1.2}
    assert retinanet(**SQUARE).fitting_anchors(sides, ("p2", "p3")) == {"anchor_size": 4.0}


def small_run(data, anchor_size):
    """Return a recipe of one epoch on images of 64 × 64 pixels."""
    head = {"type": "RetinaNetHead", "filters": 8, "anchor_size": anchor_size}
    return {
        "data": {"path": str(data), "val": "train"},
        "model": {
            "backbone": {"type": "CSPDarknet", "width": 0.125, "depth": 0.33},
            "decoder": {"type": "FPN", "channels": 8},
            "head": head,
            "image_size": [64, 64],
        },
        "training": {"epochs": 1, "batch_size": 2, "precision": "float32"},
    }


@pytest.mark.slow
def test_a_run_reports_anchors_of_another_size(squares, tmp_path, caplog):
    data = squares([6, 6, 6], [5, 6]).root
    caplog.set_level("WARNING", logger="visiongarden")
    vg.train(small_run(data, 1.5), output=tmp_path / "run")
    (line,) = (each for each in caplog.messages if "match the size of an anchor" in each)
    assert line.startswith("only 0% of the objects match the size of an anchor of RetinaNetHead")
    assert line.endswith("80% would match with model.head.anchor_size=1.0")


def test_a_run_is_refused_before_its_folder_is_created(data, tmp_path):
    with pytest.raises(UserError, match="no object of the training split") as error:
        vg.train(small_run(data, 40), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (override,) = shlex.split(error.value.fix)
    assert override == "model.head.anchor_size=0.71"
