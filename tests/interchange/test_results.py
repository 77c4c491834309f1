"""Results to and from supervision, pandas and COCO, checked with these libraries."""

import contextlib
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
import supervision
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.make_samples import sample

import visiongarden as vg
from visiongarden import UserError
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.samples import Boxes, Instances, Keypoints, Masks, RotatedBoxes
from visiongarden.types import ClassMap, Ranking, Segments

ANIMALS = ClassMap(("cat", "dog", "<script>bird</script>"), ids=(17, 90, 3))
EMPTY = Instances((0, 0), Boxes([]), [], scores=[])


@pytest.fixture
def found():
    return Instances(
        (480, 640),
        Boxes([[10.1, 20, 110.3, 220], [0, 0, 64, 48], [1, 2, 3, 4]]),
        [1, 0, 1],
        scores=[0.9, 0.5, 0.25],
        class_map=ANIMALS,
    )


def masks_of(size=(480, 640)):
    """A polygon, run lengths that skip the first column and the pixel (2, 1), and no mask."""
    counts = [size[0], 5, size[0] * (size[1] - 1) - 5]
    polygon, runs = [[1, 1, 9, 1, 9, 7.5]], {"size": list(size), "counts": counts}
    return Masks.from_coco([polygon, runs, None], size)


def same(a, b):
    arrays = [(x.boxes, x.scores, x.classes) for x in (a, b)]
    return (
        all(np.array_equal(x, y) for x, y in zip(*arrays, strict=True))
        and (a.scores.dtype, a.classes.dtype) == (np.float32, np.int32)
        and type(a.boxes) is type(b.boxes)
    )


def test_supervision(found):
    made = found.to_supervision()
    assert isinstance(made, supervision.Detections)
    assert made.xyxy.tolist() == np.asarray(found.boxes).tolist()
    assert made.confidence.tolist() == found.scores.tolist()
    assert made.class_id.tolist() == [1, 0, 1]
    assert made["class_name"].tolist() == ["dog", "cat", "dog"]
    # What supervision itself does with it.
    assert made[made.class_id == 1].confidence.tolist() == [0.8999999761581421, 0.25]
    image = np.zeros((480, 640, 3), np.uint8)
    assert supervision.BoxAnnotator().annotate(image.copy(), made).any()
    back = Instances.from_supervision(made, ANIMALS, (480, 640))
    assert same(back, found)
    assert back.size == (480, 640)


def test_supervision_without_objects():
    assert len(EMPTY.replace(class_map=ANIMALS).to_supervision()) == 0
    assert same(Instances.from_supervision(supervision.Detections.empty()), EMPTY)


def test_classes_of_supervision_are_matched_by_name(found):
    other = ClassMap(("dog", "horse", "cat"))
    assert Instances.from_supervision(found.to_supervision(), other).classes.tolist() == [0, 2, 0]
    with pytest.raises(UserError, match="unknown class 'dog'"):
        Instances.from_supervision(found.to_supervision(), ClassMap(("cat", "doge")))


def test_results_of_supervision_are_sorted_by_score(found):
    made = found.to_supervision()[[2, 0, 1]]
    assert same(Instances.from_supervision(made, ANIMALS), found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": None}, "the detections have no scores"),
        ({"class_id": None}, "the detections have no classes"),
        ({"class_id": np.array([1, 2, 3])}, "class index 3 is outside the class map"),
        ({"class_id": np.array([-1, 2, 1])}, "class index -1 is outside the class map"),
        ({"mask": np.zeros((3, 4, 4), bool)}, "the masks do not have the size of the image"),
        ({"metadata": {"camera": 3}}, "metadata of the detections would be lost"),
        ({"data": {"boxes": np.zeros(3)}}, "'boxes' cannot be the name of a column"),
        ({"data": {"age": np.zeros(2)}}, "'boxes' and 'age' of the instances have different"),
        ({"xyxy": np.array([[0, 0, 0.5, 1]] * 3)}, "the boxes are fractions of the image"),
        ({"xyxy": np.array([[50, 60, 10, 20]] * 3)}, "corners in the wrong order"),
        ({"xyxy": np.array([[0, 0, np.inf, 20]] * 3)}, "a box is not finite"),
        ({"confidence": np.array([90, 50, 25])}, "a score is not valid"),
    ],
)
def test_what_would_be_lost_is_refused(found, change, message):
    made = found.to_supervision()
    made.data = {}
    for name, value in change.items():
        setattr(made, name, value)
    with pytest.raises(UserError, match=message):
        Instances.from_supervision(made, ANIMALS, (480, 640))


@pytest.mark.parametrize("lost", ["confidence", "class_id", "metadata"])
def test_the_fix_of_the_error_works(found, lost):
    made = found.to_supervision()
    made.data = {}
    setattr(made, lost, {"camera": 3} if lost == "metadata" else None)
    with pytest.raises(UserError) as error:
        Instances.from_supervision(made)
    exec(error.value.fix, {"detections": made, "np": np})  # noqa: S102
    assert len(Instances.from_supervision(made)) == 3


def test_masks_and_tracks_of_supervision(found):
    data = {"tracker_id": np.array([7, 8, 9]), "speed": np.array([0.5, np.nan, 2])}
    whole = found.replace(masks=masks_of(), crowd=[False, True, False], data=data)
    made = whole.to_supervision()
    # Counted by hand: 5 pixels of the run lengths, none without a mask.
    assert made.mask.shape == (3, 480, 640)
    assert made.area.tolist()[1:] == [5, 0]
    np.testing.assert_array_equal(made.mask, whole.masks.bitmaps())
    assert made.tracker_id.tolist() == [7, 8, 9]
    assert made.data["crowd"].tolist() == [False, True, False]
    back = Instances.from_supervision(made[[2, 0, 1]], ANIMALS)  # sorted by score again
    assert same(back, found)
    assert back.size == (480, 640)
    np.testing.assert_array_equal(back.masks.bitmaps(), made.mask)
    assert back.crowd.tolist() == [False, True, False]
    np.testing.assert_array_equal(back.data["speed"], data["speed"])
    assert back.data["tracker_id"].tolist() == [7, 8, 9]


def test_masks_without_boxes_for_supervision(found):
    made = found.replace(boxes=None, masks=masks_of()).to_supervision()
    assert made.xyxy[:2].tolist() == [[1, 1, 9, 7.5], [1, 0, 2, 5]]


def test_rotated_boxes_of_supervision(found):
    turned = found.replace(boxes=RotatedBoxes([[50, 40, 20, 10, 90], [9, 9, 4, 2, 30], [5] * 5]))
    made = turned.to_supervision()
    # By hand: 90 degrees turn the width into the height.
    assert made.xyxy[0].tolist() == pytest.approx([45, 30, 55, 50], abs=1e-4)
    annotated = supervision.OrientedBoxAnnotator().annotate(np.zeros((99, 99, 3), np.uint8), made)
    assert annotated.any()
    back = Instances.from_supervision(made, ANIMALS, (480, 640))
    np.testing.assert_allclose(back.boxes, turned.boxes, atol=1e-4)


def test_ground_truth_for_other_libraries(found):
    annotated = found.replace(scores=None)
    assert annotated.to_supervision().confidence is None
    assert "score" not in annotated.to_pandas().columns
    assert set(annotated.to_keras()) == {"boxes", "labels"}
    with pytest.raises(UserError, match="the instances have no scores") as error:
        annotated.to_coco(1)
    assert len(fixed(annotated, error.value.fix).to_coco(1)) == 3


def fixed(instances, fix):
    """Return the instances after the statements of a fix."""
    names = {"instances": instances, "np": np, "vg": vg}
    exec(fix, names)  # noqa: S102
    return names["instances"]


KEYPOINTS = Keypoints(np.full((3, 2, 3), 2.0), names=("nose", "tail"))


def test_masks_in_pandas(found):
    size = (480, 640)
    whole = found.replace(masks=masks_of(size))
    frame = whole.to_pandas()
    assert frame["segmentation"][0] == [[1.0, 1.0, 9.0, 1.0, 9.0, 7.5]]
    assert mask_api.area(frame["segmentation"][1]) == 5
    assert frame["segmentation"][2] is None
    back = Instances.from_pandas(frame, ANIMALS, size)
    np.testing.assert_array_equal(back.masks.bitmaps(), whole.masks.bitmaps())
    best = Instances.from_pandas(frame[frame.score > 0.6], ANIMALS, size)
    np.testing.assert_array_equal(best.masks.bitmaps(), whole.masks.bitmaps()[:1])


def test_masks_as_polygons(found):
    pixels = Masks.from_bitmaps(masks_of().bitmaps())
    one, other, nothing = found.replace(masks=pixels.to_polygons()).to_dict()["detections"]
    drawn = mask_api.merge(mask_api.frPyObjects(other["segmentation"], 480, 640))
    np.testing.assert_array_equal(mask_api.decode(drawn), pixels.bitmaps()[1])
    assert len(one["segmentation"][0]) > 6
    assert nothing["segmentation"] is None


@pytest.mark.parametrize(
    ("method", "arguments", "changes", "message"),
    [
        ("to_supervision", (), {"keypoints": KEYPOINTS}, "the keypoints would be lost"),
        ("to_pandas", (), {"keypoints": KEYPOINTS}, "the keypoints would be lost"),
        ("to_pandas", (), {"data": {"embedding": np.ones((3, 8))}}, "'embedding' cannot be stored"),
        ("to_pandas", (), {"data": {"score": np.ones(3)}}, "'score' cannot be stored"),
        ("to_keras", (), {"masks": masks_of()}, "the masks would be lost"),
        ("to_keras", (), {"keypoints": KEYPOINTS}, "the keypoints would be lost"),
        ("to_keras", (), {"boxes": RotatedBoxes(np.ones((3, 5)))}, "the rotation of the boxes"),
        ("to_keras", (), {"area": [1, 2, 3]}, "the column 'area' would be lost"),
        ("to_keras", (), {"crowd": [1, 0, 0]}, "the column 'crowd' would be lost"),
        ("to_coco", (1,), {"boxes": RotatedBoxes(np.ones((3, 5)))}, "the rotation of the boxes"),
        ("to_coco", (1,), {"data": {"track": np.arange(3)}}, "the column 'track' would be lost"),
        ("to_dict", (), {"data": {"shape": Boxes(np.ones((3, 4)))}}, "'shape' .* cannot be conv"),
        ("to_dict", (), {"masks": Boxes(np.ones((3, 4)))}, "'masks' .* cannot be converted"),
        ("to_dict", (), {"data": {"any": np.array([{}, 1, None])}}, "'any' .* as JSON"),
        ("to_dict", (), {"scores": [1.5, 1, 0]}, "a score is not valid"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(found, method, arguments, changes, message):
    instances = found.replace(**changes)
    with pytest.raises(UserError, match=message) as error:
        getattr(instances, method)(*arguments)
    if "instances = " in (error.value.fix or ""):
        getattr(fixed(instances, error.value.fix), method)(*arguments)


def test_flags_of_which_none_is_set_are_not_lost(found):
    assert len(found.replace(crowd=[False] * 3).to_coco(1)) == 3


def test_another_object_is_not_detections():
    with pytest.raises(UserError, match="a value of type int is not"):
        Instances.from_supervision(5)


def test_pandas(found):
    frame = found.to_pandas()
    assert list(frame.columns) == ["x1", "y1", "x2", "y2", "score", "class_index", "class"]
    assert frame["class"].tolist() == ["dog", "cat", "dog"]
    assert frame.groupby("class")["score"].max().to_dict() == {"dog": np.float32(0.9), "cat": 0.5}
    assert same(Instances.from_pandas(frame, ANIMALS), found)
    # Also from a file, in another order, and by index if the names are unknown.
    read = pd.read_csv(io.StringIO(frame.sample(frac=1, random_state=3).to_csv(index=False)))
    assert same(Instances.from_pandas(read, ANIMALS), found)
    assert same(Instances.from_pandas(read.drop(columns="class"), ANIMALS), found)
    assert same(Instances.from_pandas(found.to_pandas().iloc[:0], ANIMALS), EMPTY)
    by_name = Instances.from_pandas(frame, ClassMap(("dog", "cat")))
    assert by_name.classes.tolist() == [0, 1, 0]


def test_rotated_boxes_and_further_columns_of_pandas(found):
    turned = found.replace(
        boxes=RotatedBoxes([[50, 40, 20, 10, 75], [9, 9, 4, 2, 30], [5, 5, 5, 5, 5]]),
        crowd=[True, False, False],
        area=[200, 8, 25],
        data={"track": np.array([3, 4, 5]), "camera": np.array(["a", "b", "b"])},
    )
    frame = turned.to_pandas()
    assert list(frame.columns) == [
        "center_x", "center_y", "width", "height", "angle", "score", "crowd", "area", "track",
        "camera", "class_index", "class",
    ]  # fmt: skip
    read = pd.read_csv(io.StringIO(frame.sample(frac=1, random_state=3).to_csv(index=False)))
    back = Instances.from_pandas(read, ANIMALS)
    assert same(back, turned)
    assert back.crowd.tolist() == [True, False, False]
    assert back.area.tolist() == [200, 8, 25]
    assert back.data["track"].tolist() == [3, 4, 5]
    assert back.to_dict()["detections"][1]["data"] == {"track": 4, "camera": "b"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="score"), "the frame has no column 'score'"),
        (lambda f: f.rename(columns={"x1": "xmin"}), "the frame has no column 'x1'"),
        (lambda f: f.assign(score=[0.5, None, 0.1]), "the column 'score' has missing values"),
        (lambda f: f.drop(columns="class").assign(class_index=[1, 2, 3]), "class index 3"),
        (lambda f: f.assign(**{"class": ["cat", "dog", "dgo"]}), "unknown class 'dgo'"),
        (lambda f: f.to_dict(), "not a data frame"),
    ],
)
def test_an_incomplete_frame_is_refused(found, change, message):
    with pytest.raises(UserError, match=message):
        Instances.from_pandas(change(found.to_pandas()), ANIMALS)


def test_coco(found):
    rows = json.loads(json.dumps(found.to_coco(np.int64(42))))
    assert [set(row) for row in rows] == [{"image_id", "category_id", "bbox", "score"}] * 3
    assert [row["category_id"] for row in rows] == [90, 17, 90]
    assert {row["image_id"] for row in rows} == {42}
    assert rows[1]["bbox"] == [0, 0, 64, 48]
    assert rows[2]["bbox"] == [1, 2, 2, 2]
    assert same(Instances.from_coco(rows, ANIMALS), found)
    assert same(Instances.from_coco([], ANIMALS), EMPTY)
    both = rows + found.to_coco("000000000007.jpg")[:1]
    assert len(Instances.from_coco(both, ANIMALS, image_id="000000000007.jpg")) == 1
    with pytest.raises(UserError, match="the results belong to 2 images"):
        Instances.from_coco(both, ANIMALS)


def test_ids_of_another_class_map_are_matched_by_name(found):
    rows = found.to_coco(1, ClassMap(("dog", "bird", "cat"), ids=(5, 6, 7)))
    assert [row["category_id"] for row in rows] == [5, 7, 5]
    with pytest.raises(UserError, match="unknown class 'dog'"):
        found.to_coco(1, ClassMap(("cat", "horse")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": None}, "result 1 is not a COCO result"),
        ({"category_id": 1}, "class id 1 is outside the class map"),
        ({"category_id": "cat"}, "result 1 is not a COCO result"),
        ({"bbox": [1, 2, 3]}, "result 1 is not a COCO result"),
        ({"bbox": [1, 2, 3, True]}, "result 1 is not a COCO result"),
        ({"bbox": [1, 2, -3, 4]}, "width or height of a box is negative"),
        ({"bbox": [1, 2, float("nan"), 4]}, "a box is not finite"),
        ({"score": 1.5}, "a score is not valid"),
    ],
)
def test_invalid_results_of_coco_are_refused(found, change, message):
    rows = found.to_coco(1)
    rows[1] = {k: v for k, v in {**rows[1], **change}.items() if v is not None}
    with pytest.raises(UserError, match=message):
        Instances.from_coco(rows, ANIMALS)


def test_annotations_are_not_results():
    with pytest.raises(UserError, match="not a list of COCO results"):
        Instances.from_coco({"images": [], "annotations": [], "categories": []}, ANIMALS)
    with pytest.raises(UserError, match="result 0 is not a COCO result"):
        Instances.from_coco(["image_id"], ANIMALS)


def test_masks_and_keypoints_of_coco(found):
    size = (480, 640)
    keypoints = Keypoints([[[1, 2, 2], [3.5, 4, 1]], [[0, 0, 0]] * 2, [[5, 6, 2], [7, 8, 2]]])
    whole = found.replace(masks=masks_of(), keypoints=keypoints)
    rows = json.loads(json.dumps(whole.to_coco(42)))
    encoded = [row["segmentation"] for row in rows]
    np.testing.assert_array_equal(
        mask_api.decode(encoded).transpose(2, 0, 1), whole.masks.bitmaps()
    )
    assert mask_api.area(encoded).tolist()[1:] == [5, 0]
    assert rows[0]["keypoints"] == [1, 2, 2, 3.5, 4, 1]
    back = Instances.from_coco(rows[::-1], ANIMALS)
    assert same(back, found)
    assert back.size == size
    np.testing.assert_array_equal(back.masks.bitmaps(), whole.masks.bitmaps())
    assert back.keypoints.values.tolist() == keypoints.values.tolist()
    only_masks = Instances.from_coco([{k: v for k, v in r.items() if k != "bbox"} for r in rows],
                                     ANIMALS)  # fmt: skip
    assert only_masks.boxes is None
    assert len(only_masks.to_coco(42)[0]["segmentation"]["counts"]) > 0
    polygons = [rows[0] | {"segmentation": [[1, 1, 9, 1, 9, 7.5]]}]
    with pytest.raises(UserError, match="the size of the image is unknown"):
        Instances.from_coco(polygons, ANIMALS)
    assert len(Instances.from_coco(polygons, ANIMALS, size=size).masks) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": None}, "some of the results have no keypoints"),
        ({"keypoints": [1, 2]}, "keypoints of the results are not valid"),
        ({"keypoints": [1, 2, None]}, "result 1 is not a COCO result"),
        ({"keypoints": [1, 2, 7]}, "a keypoint has an invalid visibility"),
        ({"segmentation": None}, "some of the results have no segmentation"),
        ({"segmentation": 5}, "the mask of object 1 is not valid"),
        ({"segmentation": {"size": [480, 640], "counts": [3]}}, "the mask of object 1"),
        ({"segmentation": {"size": [5, 5], "counts": [25]}}, "the mask of object 1"),
    ],
)
def test_invalid_masks_and_keypoints_of_coco_are_refused(found, change, message):
    whole = found.replace(masks=masks_of(), keypoints=Keypoints(np.full((3, 1, 3), 2.0)))
    rows = whole.to_coco(1)
    rows[1] = {k: v for k, v in {**rows[1], **change}.items() if v is not None}
    with pytest.raises(UserError, match=message):
        Instances.from_coco(rows, ANIMALS)


def test_coco_needs_ids_and_an_image(found):
    with pytest.raises(UserError, match="the ids of the classes are unknown"):
        found.replace(class_map=None).to_coco(1)
    for image_id in (None, True, 1.5):
        with pytest.raises(UserError, match="the id of the image is not valid"):
            found.to_coco(image_id)


def test_pycocotools_computes_the_same_ap_from_the_results(tmp_path):
    rng = np.random.default_rng(4)
    metric, results = CocoMeanAveragePrecision(ANIMALS), []
    images, annotations = [], []
    for image_id in (7, 3, 11):
        corners = np.sort(rng.uniform(0, 200, (12, 2, 2)), axis=1).reshape(12, 4)
        boxes = corners.astype(np.float32)
        classes = rng.integers(0, 3, 12).astype(np.int32)
        images.append({"id": image_id, "width": 200, "height": 200})
        for box, index in zip(boxes.astype(float), classes, strict=True):
            wide, high = box[2:] - box[:2]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ANIMALS.ids[index],
                    "bbox": [box[0], box[1], wide, high],
                    "area": wide * high,
                    "iscrowd": 0,
                }
            )
        moved = np.sort((boxes + rng.normal(0, 4, boxes.shape)).reshape(12, 2, 2), axis=1).reshape(
            12, 4
        )
        scores = np.sort(rng.uniform(0, 1, 12))[::-1].astype(np.float32)
        guessed = np.where(rng.uniform(size=12) < 0.8, classes, rng.integers(0, 3, 12))
        detections = Instances((200, 200), Boxes(moved), guessed, scores=scores, class_map=ANIMALS)
        metric.update_state([sample(boxes, classes, size=(200, 200))], [detections])
        results += detections.to_coco(image_id)
    categories = [{"id": i, "name": n} for i, n in zip(ANIMALS.ids, ANIMALS.names, strict=True)]
    rows = {"images": images, "annotations": annotations, "categories": categories}
    instances, mine = tmp_path / "instances.json", tmp_path / "results.json"
    instances.write_text(json.dumps(rows))
    mine.write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(instances))
        evaluation = COCOeval(coco, coco.loadRes(str(mine)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = metric.result()
    assert 0.2 < evaluation.stats[0] < 0.9
    assert ours["AP"] == pytest.approx(evaluation.stats[0], abs=1e-12)
    assert ours["AP50"] == pytest.approx(evaluation.stats[1], abs=1e-12)


@pytest.mark.parametrize("name", ["supervision", "pandas"])
def test_a_library_that_is_not_installed_is_named(found, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f"needs {name}") as error:
        getattr(found, f"to_{name}")()
    assert error.value.fix == f"pip install {name}"


@pytest.mark.parametrize("method", ["to_supervision", "to_pandas", "to_dict", "to_keras"])
def test_a_class_outside_the_class_map_is_refused(found, method):
    found = found.replace(classes=[3, 0, 1])
    with pytest.raises(UserError, match="class index 3 is outside the class map") as error:
        getattr(found, method)()
    assert "subtract 1" in error.value.fix
    with pytest.raises(UserError, match="class index 3"):
        found.to_coco(1)


def test_values_for_json(found):
    made = json.loads(json.dumps(found.to_dict()))
    assert made["size"] == [480, 640]
    assert made["detections"][1] == {
        "class": "cat", "class_index": 0, "score": 0.5, "box": [0, 0, 64, 48]
    }  # fmt: skip
    unnamed = Instances((0, 0), found.boxes, found.classes, scores=found.scores).to_dict()
    assert unnamed["size"] is None
    assert "class" not in unnamed["detections"][0]


def test_every_field_for_json(found):
    whole = found.replace(
        boxes=RotatedBoxes([[50, 40, 20, 10, 0], [9, 9, 4, 2, 0], [5, 5, 3, 1, 0]]),
        scores=None,
        masks=masks_of((480, 640)),
        keypoints=KEYPOINTS,
        crowd=[False, True, False],
        area=[200, 8, 3],
        data={"speed": np.array([1.5, np.nan, np.inf]), "track": np.arange(3)},
    )
    made = json.loads(json.dumps(whole.to_dict(), allow_nan=False))
    assert set(made) == {"size", "annotations", "keypoint_names"}
    assert made["keypoint_names"] == ["nose", "tail"]
    first, second, third = made["annotations"]
    assert first == {
        "class": "dog", "class_index": 1, "rotated_box": [50, 40, 20, 10, 0],
        "segmentation": [[1, 1, 9, 1, 9, 7.5]], "keypoints": [2] * 6, "crowd": False, "area": 200,
        "data": {"speed": 1.5, "track": 0},
    }  # fmt: skip
    assert mask_api.area(second["segmentation"]) == 5
    assert (second["crowd"], second["data"]["speed"]) == (True, None)
    assert (third["segmentation"], third["data"]["speed"]) == (None, None)
    assert Instances((5, 6), classes=[1]).to_dict()["annotations"] == [{"class_index": 1}]
    assert Instances.empty((5, 6)).to_dict() == {"size": [5, 6], "annotations": []}
    assert EMPTY.to_dict() == {"size": None, "detections": []}


def test_rankings():
    ranking = Ranking(np.array([1, 0]), np.array([0.75, 0.25], np.float32), class_map=ANIMALS)
    assert repr(ranking) == "Ranking(dog 0.750, cat 0.250)"
    assert ranking.to_dict() == {
        "classes": [
            {"class": "dog", "class_index": 1, "score": 0.75},
            {"class": "cat", "class_index": 0, "score": 0.25},
        ]
    }
    assert ranking.to_pandas()["class"].tolist() == ["dog", "cat"]
    assert ranking.to_supervision().get_top_k(1)[0].tolist() == [1]


def test_segments():
    classes = np.array([[0, 0, 0], [0, 1, 1]], np.uint8)
    segments = Segments(classes, np.ones((2, 3), np.float32), class_map=ANIMALS)
    assert repr(segments) == "Segments(2 × 3; cat 66.7%, dog 33.3%)"
    assert segments.to_dict() == {
        "size": [2, 3],
        "segments": [
            {"class": "cat", "class_index": 0, "share": 4 / 6},
            {"class": "dog", "class_index": 1, "share": 2 / 6},
        ],
    }


def test_segments_for_other_libraries():
    classes = np.zeros((4, 6), np.uint8)
    classes[1:3, 2:5] = 1
    scores = np.where(classes, 0.5, 1).astype(np.float32)
    segments = Segments(classes, scores, class_map=ANIMALS)
    frame = segments.to_pandas()
    assert frame["share"].tolist() == [18 / 24, 6 / 24]
    assert frame["class"].tolist() == ["cat", "dog"]
    made = segments.to_supervision()
    assert made.area.tolist() == [18, 6]
    assert made.xyxy.tolist() == [[0, 0, 5, 3], [2, 1, 4, 2]]  # pixels, as supervision counts
    assert made.confidence.tolist() == [1, 0.5]
    assert made["class_name"].tolist() == ["cat", "dog"]
    classes[0, 0] = 255
    for method in (segments.to_pandas, segments.to_supervision, segments.to_dict):
        with pytest.raises(UserError, match="class index 255 is outside the class map"):
            method()


def test_repr(found):
    assert repr(found) == ("Instances(2 × dog, 1 × cat; scores 0.250 to 0.900; image 480 × 640)")
    assert repr(EMPTY) == "Instances(no objects)"
    # `repr` never fails, not even for a class that is not in the class map.
    wrong = found.replace(classes=[7, 7, 7])
    assert "3 × class 7" in repr(wrong)
    assert "class 7" in wrong._repr_html_()
    many = Instances((0, 0), Boxes(np.zeros((99, 4))), np.arange(99), scores=np.ones(99))
    assert repr(many) == (
        "Instances(1 × class 0, 1 × class 1, 1 × class 2, 1 × class 3, 1 × class 4, "
        "1 × class 5, 1 × class 6, 1 × class 7, … 91 more; scores 1.000 to 1.000)"
    )
    turned = found.replace(boxes=RotatedBoxes(np.ones((3, 5))), keypoints=KEYPOINTS)
    assert repr(turned).endswith("image 480 × 640; rotated boxes, keypoints)")
    annotated = found.replace(scores=None)
    assert repr(annotated) == "Instances(3 objects, image 480 × 640; boxes, classes)"
    assert ">dog<" in annotated._repr_html_()
    assert ">angle<" in turned._repr_html_()
