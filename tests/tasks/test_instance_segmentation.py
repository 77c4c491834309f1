"""Instance segmentation: targets, results in the original image, parity, data without masks."""

import json

import cv2
import numpy as np
import pytest
from tests.make_samples import sample

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.samples import Instances, Masks
from visiongarden.tasks import InstanceSegmentationTask
from visiongarden.types import ClassMap, Placement

TASK = InstanceSegmentationTask()
SIZE = (64, 96)


def squares(*boxes):
    found = np.zeros((len(boxes), *SIZE), bool)
    for canvas, (x1, y1, x2, y2) in zip(found, boxes, strict=True):
        canvas[y1:y2, x1:x2] = True
    return Masks.from_bitmaps(found)


def test_targets_are_those_of_detection_and_masks_of_a_quarter_of_the_size():
    masks = squares((8, 16, 40, 48), (50, 0, 96, 30))
    given = sample(masks.boxes(), [1, 0], size=SIZE, masks=masks)
    targets = TASK.to_targets(given, capacity=3)
    assert targets["classes"].tolist() == [1, 0, -1]
    assert targets["masks"].shape == (3, 16, 24)
    wanted = np.zeros((16, 24), np.uint8)
    wanted[4:12, 2:10] = 1
    assert np.array_equal(targets["masks"][0], wanted)
    assert not targets["masks"][2].any()


def test_an_object_without_a_mask_is_an_error():
    boxes = np.array([[8, 16, 40, 48]], np.float32)
    with pytest.raises(UserError, match=r"object 0 of .* has no mask"):
        TASK.to_targets(sample(boxes, [0], size=SIZE), capacity=2)
    polygons = Masks.from_polygons([[[1, 1, 9, 1, 9, 9]], []], SIZE)
    two = np.concatenate([boxes, boxes])
    with pytest.raises(UserError, match=r"object 1 of .* has no mask"):
        TASK.to_targets(sample(two, [0, 0], size=SIZE, masks=polygons), capacity=2)


def test_data_without_masks_are_refused_before_training():
    with pytest.raises(UserError, match="has no masks, which instance_segmentation needs"):
        TASK.check_fields(frozenset({"boxes"}), "my_images")
    with pytest.raises(UserError, match=r"with masks, or a model of the task detection$"):
        TASK.check_fields(frozenset({"boxes"}), "my_images")


POLYGON = [[10, 10, 30, 10, 30, 30, 10, 30]]


def write_coco(folder, segmentations, crowd=()):
    """Write one image per segmentation, None without the field, as the splits train and val."""
    images, annotations = [], []
    for number, each in enumerate(segmentations):
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.png"), np.full((64, 64, 3), number, np.uint8))
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 64})
        one = {"id": number, "image_id": number, "category_id": 1, "bbox": [10, 10, 20, 20]}
        one |= {"area": 400, "iscrowd": int(number in crowd)}
        annotations.append(one if each is None else one | {"segmentation": each})
    categories = [{"id": 1, "name": "cell"}]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(text)
    return folder


class Model:
    task = "instance_segmentation"
    class_map = ClassMap(("cell",))
    image_size = (64, 64)


@pytest.mark.parametrize(
    ("segmentations", "message"),
    [
        ([None, None], r"has no masks, which instance_segmentation needs"),
        ([POLYGON, []], r"val\.json: annotations\[1\] has no mask"),
        ([POLYGON, [[10, 10, 30, 30]]], r"val\.json: annotations\[1\]: .*three pairs of numbers"),
        ([POLYGON, {"size": [32, 32], "counts": [0, 1024]}], r"size \[32, 32\], the image has 64"),
    ],
)
def test_invalid_masks_are_named_before_an_evaluation(tmp_path, segmentations, message):
    """COCO's format does not require masks, so that its datasets are read before it is decided."""
    folder = write_coco(tmp_path / "cells", segmentations)
    with pytest.raises(UserError, match=message):
        vg.evaluate(Model, folder)


def test_the_first_annotation_without_masks_is_named(tmp_path):
    folder = write_coco(tmp_path / "cells", [None, None])
    with pytest.raises(UserError) as error:
        TASK.check(vg.read(folder))
    assert error.value.received.startswith("a dataset with boxes, the first of which is ")
    assert error.value.received.endswith("train.json: annotations[0]")


def test_missing_masks_are_a_warning_of_the_doctor_where_others_have_one(tmp_path):
    report = vg.data.check(write_coco(tmp_path / "cells", [POLYGON, []]))
    found = [each for each in report.findings if each.kind == "mask-missing"]
    assert [each.split for each in found] == ["train", "val"]
    assert "annotations[1]" in found[0].where
    alone = vg.data.check(write_coco(tmp_path / "boxes", [None, None]))
    assert not [each for each in alone.findings if each.kind == "mask-missing"]


def test_crowd_regions_need_no_mask_and_are_no_targets(tmp_path):
    dataset = vg.read(write_coco(tmp_path / "cells", [POLYGON, None], crowd=(1,)))
    TASK.check(dataset)
    targets = TASK.to_targets(dataset[1], capacity=2)
    assert targets["crowd"].tolist() == [True, False]
    assert not targets["masks"].any()


def decoded(seed=0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 40, (2, 30, 2))
    return {
        "boxes": np.concatenate([low, low + rng.uniform(8, 24, (2, 30, 2))], -1).astype("f4"),
        "scores": rng.uniform(0, 1, (2, 30, 2)).astype("f4"),
        "coefficients": np.tanh(rng.normal(size=(2, 30, 4))).astype("f4"),
        "prototypes": np.abs(rng.normal(size=(2, 16, 24, 4))).astype("f4"),
    }


def test_results_are_moved_to_the_original_image_with_their_masks():
    head = vg.heads.AnchorFreeMasks(num_classes=2)
    model = type("Model", (), {"parts": type("Parts", (), {"head": head})})
    row = {name: array[0] for name, array in decoded().items()}
    found = TASK.postprocess(model, 0.5)(**row)
    assert found.size == SIZE
    large = TASK.to_original(found, Placement((0.5, 0.5), (0.0, 0.0)), (128, 192))
    assert isinstance(large, Instances)
    assert large.masks.size == (128, 192)
    doubled = found.masks.bitmaps().repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(large.masks.bitmaps(), doubled)


def test_parity_compares_the_masks():
    one = decoded()
    assert TASK.difference(one, one).agrees
    other = {name: array.copy() for name, array in one.items()}
    other["prototypes"] = other["prototypes"][..., [1, 0, 2, 3]]
    found = TASK.difference(one, other)
    assert not found.agrees
    assert found.boxes == 0
    assert found.masks > 0.1
    assert "masks within" in str(found)


def test_ground_truth_of_a_batch_has_the_masks_of_the_targets():
    masks = squares((8, 16, 40, 48))
    targets = TASK.to_targets(sample(masks.boxes(), [1], size=SIZE, masks=masks), 2)
    batch = {name: array[None] for name, array in targets.items()}
    found = TASK.ground_truth_of(batch, 0, SIZE, 0)
    assert np.array_equal(found.instances.masks.bitmaps(), masks.bitmaps())


@pytest.mark.parametrize(("levels", "batch"), [(["p3"], 1), (["p3", "p4", "p5"], 3)])
def test_check_accepts_learned_masks_and_rejects_masks_between_their_cells(levels, batch):
    head = vg.heads.AnchorFreeMasks(num_classes=2)
    targets = TASK.example_targets(head, levels, SIZE, batch)
    logits = 2.0 * targets["masks"][:, 0, :, :, None] - 1
    scores = np.eye(2, dtype=np.float32)[targets["classes"][:, :1]]
    right = {
        "boxes": targets["boxes"][:, :1],
        "scores": scores,
        "coefficients": np.ones((batch, 1, 1), np.float32),
        "prototypes": logits.astype(np.float32),
    }
    assert TASK.invalid_outputs(head, right, SIZE) is None
    for axis in (1, 2):
        between = (logits + np.roll(logits, 1, axis)) / 2
        for image in range(batch):
            assert TASK.match(targets, right, image).correct
            assert not TASK.match(targets, right | {"prototypes": between}, image).correct
    filled = np.ones_like(logits)
    assert not TASK.match(targets, right | {"prototypes": filled}, 0).correct
