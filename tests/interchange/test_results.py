"""Results to and from supervision, pandas and COCO, checked with these libraries."""

import contextlib
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
import supervision
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.make_samples import sample

from visiongarden import UserError
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.types import ClassMap, Detections, Ranking, Segments

ANIMALS = ClassMap(("cat", "dog", "<script>bird</script>"), ids=(17, 90, 3))
EMPTY = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)


@pytest.fixture
def found():
    return Detections(
        np.array([[10.1, 20, 110.3, 220], [0, 0, 64, 48], [1, 2, 3, 4]], np.float32),
        np.array([0.9, 0.5, 0.25], np.float32),
        np.array([1, 0, 1], np.int32),
        class_map=ANIMALS,
        size=(480, 640),
    )


def same(a, b):
    return (
        np.array_equal(a.boxes, b.boxes)
        and np.array_equal(a.scores, b.scores)
        and np.array_equal(a.classes, b.classes)
        and (a.boxes.dtype, a.scores.dtype, a.classes.dtype) == (np.float32, np.float32, np.int32)
    )


def test_supervision(found):
    made = found.to_supervision()
    assert isinstance(made, supervision.Detections)
    assert made.xyxy.tolist() == found.boxes.tolist()
    assert made.confidence.tolist() == found.scores.tolist()
    assert made.class_id.tolist() == [1, 0, 1]
    assert made["class_name"].tolist() == ["dog", "cat", "dog"]
    # What supervision itself does with it.
    assert made[made.class_id == 1].confidence.tolist() == [0.8999999761581421, 0.25]
    image = np.zeros((480, 640, 3), np.uint8)
    assert supervision.BoxAnnotator().annotate(image.copy(), made).any()
    back = Detections.from_supervision(made, ANIMALS, (480, 640))
    assert same(back, found)
    assert back.size == (480, 640)


def test_supervision_without_objects():
    assert len(Detections(*EMPTY, class_map=ANIMALS).to_supervision()) == 0
    assert same(Detections.from_supervision(supervision.Detections.empty()), Detections(*EMPTY))


def test_classes_of_supervision_are_matched_by_name(found):
    other = ClassMap(("dog", "horse", "cat"))
    assert Detections.from_supervision(found.to_supervision(), other).classes.tolist() == [0, 2, 0]
    with pytest.raises(UserError, match="unknown class 'dog'"):
        Detections.from_supervision(found.to_supervision(), ClassMap(("cat", "doge")))


def test_results_of_supervision_are_sorted_by_score(found):
    made = found.to_supervision()[[2, 0, 1]]
    assert same(Detections.from_supervision(made, ANIMALS), found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": None}, "the detections have no scores"),
        ({"class_id": None}, "the detections have no classes"),
        ({"class_id": np.array([1, 2, 3])}, "class index 3 is outside the class map"),
        ({"class_id": np.array([-1, 2, 1])}, "class index -1 is outside the class map"),
        ({"mask": np.zeros((3, 4, 4), bool)}, "mask of the detections would be lost"),
        ({"tracker_id": np.array([1, 2, 3])}, "tracker_id of the detections would be lost"),
        ({"data": {"xyxyxyxy": np.zeros((3, 4, 2))}}, "the rotation of the boxes would be lost"),
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
        Detections.from_supervision(made, ANIMALS, (480, 640))


@pytest.mark.parametrize("lost", ["confidence", "class_id", "mask", "tracker_id"])
def test_the_fix_of_the_error_works(found, lost):
    made = found.to_supervision()
    made.data = {}
    given = {"mask": np.zeros((3, 4, 4), bool), "tracker_id": np.array([1, 2, 3])}
    setattr(made, lost, given.get(lost))
    with pytest.raises(UserError) as error:
        Detections.from_supervision(made)
    exec(error.value.fix, {"detections": made, "np": np})  # noqa: S102
    assert len(Detections.from_supervision(made)) == 3


def test_another_object_is_not_detections():
    with pytest.raises(UserError, match="a value of type int is not"):
        Detections.from_supervision(5)


def test_pandas(found):
    frame = found.to_pandas()
    assert list(frame.columns) == ["x1", "y1", "x2", "y2", "score", "class_index", "class"]
    assert frame["class"].tolist() == ["dog", "cat", "dog"]
    assert frame.groupby("class")["score"].max().to_dict() == {"dog": np.float32(0.9), "cat": 0.5}
    assert same(Detections.from_pandas(frame, ANIMALS), found)
    # Also from a file, in another order, and by index if the names are unknown.
    read = pd.read_csv(io.StringIO(frame.sample(frac=1, random_state=3).to_csv(index=False)))
    assert same(Detections.from_pandas(read, ANIMALS), found)
    assert same(Detections.from_pandas(read.drop(columns="class"), ANIMALS), found)
    assert same(Detections.from_pandas(found.to_pandas().iloc[:0], ANIMALS), Detections(*EMPTY))
    by_name = Detections.from_pandas(frame, ClassMap(("dog", "cat")))
    assert by_name.classes.tolist() == [0, 1, 0]


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
        Detections.from_pandas(change(found.to_pandas()), ANIMALS)


def test_coco(found):
    rows = json.loads(json.dumps(found.to_coco(np.int64(42))))
    assert [set(row) for row in rows] == [{"image_id", "category_id", "bbox", "score"}] * 3
    assert [row["category_id"] for row in rows] == [90, 17, 90]
    assert {row["image_id"] for row in rows} == {42}
    assert rows[1]["bbox"] == [0, 0, 64, 48]
    assert rows[2]["bbox"] == [1, 2, 2, 2]
    assert same(Detections.from_coco(rows, ANIMALS), found)
    assert same(Detections.from_coco([], ANIMALS), Detections(*EMPTY))
    both = rows + found.to_coco("000000000007.jpg")[:1]
    assert len(Detections.from_coco(both, ANIMALS, image_id="000000000007.jpg")) == 1
    with pytest.raises(UserError, match="the results belong to 2 images"):
        Detections.from_coco(both, ANIMALS)


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
        Detections.from_coco(rows, ANIMALS)


def test_annotations_are_not_results():
    with pytest.raises(UserError, match="not a list of COCO results"):
        Detections.from_coco({"images": [], "annotations": [], "categories": []}, ANIMALS)
    with pytest.raises(UserError, match="result 0 is not a COCO result"):
        Detections.from_coco(["image_id"], ANIMALS)


def test_coco_needs_ids_and_an_image(found):
    with pytest.raises(UserError, match="the ids of the classes are unknown"):
        Detections(found.boxes, found.scores, found.classes).to_coco(1)
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
        detections = Detections(
            moved.astype(np.float32), scores, guessed.astype(np.int32), class_map=ANIMALS
        )
        metric.update(detections, sample(boxes, classes, size=(200, 200)))
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
    found.classes[0] = 3
    with pytest.raises(UserError, match="class index 3 is outside the class map") as error:
        getattr(found, method)()
    assert "subtract 1" in error.value.fix
    with pytest.raises(UserError, match="class index 3"):
        found.to_coco(1)


def test_wrong_shapes_are_refused():
    wrong = Detections(np.zeros((3, 4)), np.zeros(2), np.zeros(3, int))
    with pytest.raises(UserError, match="wrong shapes"):
        wrong.to_dict()


def test_values_for_json(found):
    made = json.loads(json.dumps(found.to_dict()))
    assert made["size"] == [480, 640]
    assert made["detections"][1] == {
        "class": "cat", "class_index": 0, "score": 0.5, "box": [0, 0, 64, 48]
    }  # fmt: skip
    unnamed = Detections(found.boxes, found.scores, found.classes).to_dict()
    assert unnamed["size"] is None
    assert "class" not in unnamed["detections"][0]


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
    assert repr(found) == ("Detections(2 × dog, 1 × cat; scores 0.250 to 0.900; image 480 × 640)")
    assert repr(Detections(*EMPTY)) == "Detections(no objects)"
    # `repr` never fails, not even for a class that is not in the class map.
    found.classes[:] = 7
    assert "3 × class 7" in repr(found)
    many = Detections(np.zeros((99, 4)), np.ones(99), np.arange(99))
    assert repr(many) == (
        "Detections(1 × class 0, 1 × class 1, 1 × class 2, 1 × class 3, 1 × class 4, "
        "1 × class 5, 1 × class 6, 1 × class 7, … 91 more; scores 1.000 to 1.000)"
    )
