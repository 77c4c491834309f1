"""Evaluation: a model that knows the truth is perfect; boxes return to the original pixels."""

import json

import cv2
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data import DetectionDataset, make_scenes, read
from visiongarden.errors import DataError, UserError
from visiongarden.evaluation import (
    Predictor,
    draw,
    evaluate,
    grid,
    plot_history,
    predict,
    predict_files,
)
from visiongarden.postprocess import Nms
from visiongarden.types import ClassMap, Detections, Example

NAMES = ClassMap(("cat", "dog"))


class Knows:
    """Stands in for a predictor: reads the boxes out of the pixels of coloured rectangles."""

    image_size = (64, 96)

    def __call__(self, images):
        found = []
        for image in images:
            boxes, classes = [], []
            for index in range(2):
                mask = image[..., index] > 200
                if mask.any():
                    y, x = np.nonzero(mask)
                    boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                    classes.append(index)
            found.append(
                Detections(
                    np.array(boxes, np.float32).reshape(-1, 4),
                    np.ones(len(boxes), np.float32),
                    np.array(classes, np.int32),
                )
            )
        return found


def dataset(count=5):
    rng = np.random.default_rng(0)
    examples = []
    for i in range(count):
        height, width = int(rng.integers(40, 200)), int(rng.integers(40, 200))
        image = np.zeros((height, width, 3), np.uint8)
        x, y = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
        box = [x, y, x + width // 2, y + height // 2]
        image[box[1] : box[3], box[0] : box[2], i % 2] = 255
        examples.append(
            Example(
                np.array([box], np.float32),
                np.array([i % 2], np.int32),
                image,
                size=(height, width),
            )
        )
    return DetectionDataset(NAMES, tuple(examples))


class Model:
    task = "detection"
    class_map = NAMES
    image_size = (64, 96)


def test_a_model_that_knows_the_truth_is_perfect():
    result = evaluate(Model, dataset(), batch_size=2, predictor=Knows())
    assert result.images == 5
    assert result.figures["AP50"] == pytest.approx(1)
    assert result.figures["AP"] > 0.85  # a pixel of the canvas is up to three of the image
    assert result.per_class["dog"]["AP50"] == pytest.approx(1)


def test_other_classes_are_refused():
    class Other(Model):
        class_map = ClassMap(("dog", "cat"))

    with pytest.raises(UserError, match="different classes"):
        evaluate(Other, dataset(), predictor=Knows())


def test_predictions_lie_in_the_pixels_of_each_image():
    examples = dataset()
    found = predict(Model, [e.image for e in examples], predictor=Knows(), batch_size=2)
    for one, example in zip(found, examples, strict=True):
        np.testing.assert_allclose(one.boxes[0], example.boxes[0], atol=4)


def detector():
    return vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        vg.decoders.FPN(channels=16),
        vg.heads.AnchorFree(num_classes=2, bins=4),
        64,
        NAMES,
    )


@pytest.mark.backends
def test_a_predictor_follows_the_weights():
    model = detector()
    predictor = Predictor(model, postprocess=Nms(score_threshold=0.0))
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    boxes, before = predictor.raw(images)
    assert boxes.shape == (2, 84, 4)
    assert before.shape == (2, 84, 2)
    model.set_weights([w + 0.05 for w in model.get_weights()])
    _, after = predictor.raw(images)
    assert not np.allclose(before, after)
    fresh = Predictor(model, postprocess=Nms(score_threshold=0.0)).raw(images)[1]
    np.testing.assert_allclose(after, fresh, atol=1e-6)


def test_a_model_of_any_size_wants_one():
    model = vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        vg.decoders.FPN(channels=16),
        vg.heads.AnchorFree(num_classes=2, bins=4),
    )
    with pytest.raises(UserError, match="images of any size"):
        Predictor(model)


def test_files(tmp_path):
    folder = make_scenes(tmp_path / "scenes", 4, (64, 64))
    detector().save(tmp_path / "m.keras")
    images = folder / "images"
    output = predict_files(tmp_path / "m.keras", [images], tmp_path / "out", score=0.001)
    rows = json.loads((output / "detections.json").read_text())
    assert len(rows) == 4
    assert rows[0]["detections"][0]["class"] in NAMES.names
    assert cv2.imread(str(output / "00000.png")).shape == (64, 64, 3)
    with pytest.raises(UserError, match="there is no image"):
        predict_files(tmp_path / "m.keras", [tmp_path / "nowhere.png"], tmp_path / "out")
    broken = tmp_path / "broken.png"
    broken.write_bytes((images / "00000.png").read_bytes()[:-100])
    with pytest.raises(DataError, match="cut short"):
        predict_files(tmp_path / "m.keras", [broken], tmp_path / "out")


@pytest.mark.parametrize("size", [(20, 20), (64, 300), (1200, 900)])
def test_drawings(size):
    image = np.zeros((*size, 3), np.uint8)
    boxes = np.array([[0, 0, size[1], size[0]], [5, 5, 15, 15]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.5]), np.array([0, 1]))
    picture = draw(image, found, NAMES)
    assert picture.shape == image.shape
    assert picture.any()
    assert not image.any()
    assert grid([picture, picture, picture], columns=2, side=50).shape == (100, 100, 3)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{"epoch": 1, "loss": 2.0, "box": 1.0}],
        [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "AP": 0.3, "AP50": 0.5}],
    ],
)
def test_curves(tmp_path, history):
    path = plot_history(history, tmp_path / "curves.png")
    assert cv2.imread(str(path)).shape[2] == 3


def test_evaluation_reads_the_models_class_map(tmp_path):
    folder = make_scenes(tmp_path / "scenes", 10, (64, 64))
    assert read(folder).class_map.names[0] == "disc"
    detector().save(tmp_path / "m.keras")
    from visiongarden.evaluation import evaluate_file

    with pytest.raises(DataError, match="lacks cat, dog"):
        evaluate_file(tmp_path / "m.keras", folder)
