"""Box formats and Keras's dicts agree with Keras's own converter."""

import re

import keras
import numpy as np
import pytest

from visiongarden import UserError
from visiongarden.interchange import BOX_FORMATS, convert_boxes, from_keras, to_keras
from visiongarden.samples import Boxes, Instances
from visiongarden.types import ClassMap

SIZE = (480, 640)
CORNERS = np.array([[10, 20, 110, 220], [0, 0, 640, 480], [3.5, 7.25, 3.5, 9]], np.float32)
ANIMALS = ClassMap(("cat", "dog"), ids=(17, 18))


def by_keras(boxes, source, target):
    found = keras.utils.bounding_boxes.convert_format(boxes, source, target, *SIZE)
    return keras.ops.convert_to_numpy(found)


def test_the_formats_are_those_of_keras():
    # The message lists the supported formats.
    with pytest.raises(ValueError, match="Supported formats") as error:
        by_keras(CORNERS, "none", "xyxy")
    listed = re.findall(r"\b(?:rel_)?(?:center_)?[xy][xy]\w\w\b", str(error.value))
    assert set(BOX_FORMATS) == set(listed)


@pytest.mark.parametrize("source", BOX_FORMATS)
@pytest.mark.parametrize("target", BOX_FORMATS)
def test_boxes_are_converted_as_keras_does(source, target):
    given = by_keras(CORNERS, "xyxy", source)
    expected = by_keras(CORNERS, "xyxy", target)
    np.testing.assert_allclose(by_keras(given, source, target), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(
        convert_boxes(given, source, target, SIZE), expected, rtol=1e-5, atol=1e-4
    )


def test_values_by_hand():
    box = [[10, 20, 110, 220]]
    assert convert_boxes(box, "xyxy", "XYWH").tolist() == [[10, 20, 100, 200]]
    assert convert_boxes(box, "xyxy", "center_yxhw").tolist() == [[120, 60, 200, 100]]
    assert convert_boxes(box, "xyxy", "rel_yxyx", (400, 200)).tolist() == [
        np.array([0.05, 0.05, 0.55, 0.55], np.float32).tolist()
    ]
    # Between two relative formats the size has no effect, as in Keras.
    relative = convert_boxes([[0.25, 0.5, 0.5, 0.25]], "rel_xywh", "rel_xyxy")
    assert relative.tolist() == [[0.25, 0.5, 0.75, 0.75]]
    assert convert_boxes(np.zeros((2, 0, 4)), "xyxy", "xywh").shape == (2, 0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 0, 1, 1]], "xyxy", "xywh_rel"), "unknown box format 'xywh_rel'"),
        (([[0, 0, 1, 1]], None, "xywh"), "unknown box format None"),
        (([[0, 0, 1]], "xyxy", "xywh"), "wrong shape"),
        ((5, "xyxy", "xyxy"), "wrong shape"),
        (([[0, 0, 1, 1]], "xyxy", "rel_xywh"), "the image size is missing"),
        (([[0, 0, 1, 1]], "xyxy", "rel_xywh", (0, 640)), "the image size is not valid"),
        (([[0, 0, 1, 1]], "xyxy", "rel_xywh", (480, 640, 3)), "the image size is not valid"),
        (([[10, 20, 110, 220]], "rel_xyxy", "xyxy", SIZE), "not in the format 'rel_xyxy'"),
        (([[0, 0, 1], [1]], "xyxy", "xyxy"), "cannot be converted to an array"),
        ((["a", "b", "c", "d"], "xyxy", "xyxy"), "cannot be converted to an array"),
    ],
)
def test_invalid_boxes_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        convert_boxes(*arguments)


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_a_batch_for_keras_and_back(name):
    boxes = np.array([[[10, 20, 110, 220], [5, 6, 7, 8]], [[0, 0, 640, 480], [0, 0, 0, 0]]])
    classes = np.array([[1, 0], [0, -1]])
    made = to_keras(boxes, classes, name, SIZE)
    assert set(made) == {"boxes", "labels"}
    assert made["boxes"].dtype == np.float32
    assert made["labels"].dtype == np.int32
    np.testing.assert_allclose(made["boxes"], by_keras(boxes, "xyxy", name), rtol=1e-5, atol=1e-4)
    back, labels, scores = from_keras(made, name, SIZE, num_classes=2)
    np.testing.assert_allclose(back, boxes, atol=1e-3)
    assert labels.tolist() == classes.tolist()
    assert scores is None


def test_padding_of_keras_is_not_converted():
    # Keras's layers leave any values in padded rows.
    given = {"boxes": [[0.1, 0.1, 0.5, 0.5], [-1, -1, np.nan, 999]], "labels": [1, -1]}
    boxes, labels, _ = from_keras(given, "rel_xyxy", (100, 200))
    np.testing.assert_allclose(boxes, [[20, 10, 100, 50], [0, 0, 0, 0]])
    assert labels.tolist() == [1, -1]
    found = Instances.from_keras({**given, "confidences": [0.5, 0]}, "rel_xyxy", size=(100, 200))
    assert len(found) == 1
    assert found.classes.tolist() == [1]


def test_a_layer_of_keras_takes_the_dict():
    # Mirrored by hand: x becomes 32 - x.
    flip = keras.layers.RandomFlip("horizontal", bounding_box_format="rel_xyxy", seed=1)
    boxes = np.array([[[4, 8, 12, 20], [0, 0, 0, 0]]], np.float32)
    given = to_keras(boxes, [[1, -1]], "rel_xyxy", (32, 32))
    images = np.zeros((1, 32, 32, 3), np.float32)
    images[0, :, 0] = 255
    for _ in range(20):
        made = flip({"images": images, "bounding_boxes": dict(given)}, training=True)
        if float(made["images"][0, 0, -1, 0]) > 0:
            break
    else:
        pytest.fail("the layer never flipped the image")
    back, labels, _ = from_keras(made["bounding_boxes"], "rel_xyxy", (32, 32))
    np.testing.assert_allclose(back[0, 0], [20, 8, 28, 20], atol=1e-4)
    assert labels.tolist() == [[1, -1]]


def test_detections_for_keras_and_back():
    found = Instances(SIZE, Boxes(CORNERS), [1, 0, 1], scores=[0.9, 0.5, 0.25], class_map=ANIMALS)
    made = found.to_keras("rel_center_xywh", capacity=5)
    assert made["labels"].tolist() == [1, 0, 1, -1, -1]
    assert made["confidences"].tolist() == [0.8999999761581421, 0.5, 0.25, 0, 0]
    assert made["boxes"].shape == (5, 4)
    back = Instances.from_keras(made, "rel_center_xywh", ANIMALS, SIZE)
    np.testing.assert_allclose(back.boxes, found.boxes, atol=1e-3)
    assert back.scores.tolist() == found.scores.tolist()
    assert back.classes.tolist() == found.classes.tolist()
    with pytest.raises(UserError, match="the image has 3 objects") as error:
        found.to_keras(capacity=2)
    assert error.value.fix == "capacity=3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "labels"),
        ({"labels": [0]}, "wrong shapes"),
        ({"labels": [0, 2]}, "class index 2 is outside the class map"),
        ({"labels": [0, -2]}, "class index -2 is outside the class map"),
        ({"labels": [0, 0.5]}, "not class indices"),
        ({"confidences": None}, "have no scores"),
        ({"confidences": [0.5]}, "the scores have a wrong shape"),
        ({"confidences": [0.5, 90]}, "a score is not valid"),
        ({"boxes": [[0, 0, 5, 5]]}, "wrong shapes"),
    ],
)
def test_conversions_that_lose_or_shift_labels_are_refused(change, message):
    given = {"boxes": [[0, 0, 5, 5], [1, 1, 6, 6]], "labels": [0, 1], "confidences": [0.5, 0.25]}
    Instances.from_keras(given, "xyxy", ANIMALS)
    given = {key: value for key, value in {**given, **change}.items() if value is not None}
    with pytest.raises(UserError, match=message):
        Instances.from_keras(given, "xyxy", ANIMALS)


def test_a_batch_is_not_one_image():
    given = to_keras(np.zeros((2, 3, 4)), np.zeros((2, 3), int), scores=np.zeros((2, 3)))
    with pytest.raises(UserError, match="belong to a batch"):
        Instances.from_keras(given, "xyxy")
    with pytest.raises(UserError, match=r"not a dict of Keras's bounding boxes"):
        Instances.from_keras([given], "xyxy")


@pytest.mark.backends
def test_tensors_of_the_backend_are_taken():
    boxes, labels = [[0.25, 0.5, 0.75, 1.0]], [1]
    # A variable of PyTorch requires a gradient.
    given = {
        "boxes": keras.Variable(boxes).value,
        "labels": keras.ops.convert_to_tensor(labels, "int32"),
        "confidences": keras.ops.convert_to_tensor([0.5], "bfloat16"),
    }
    found = Instances.from_keras(given, "rel_xyxy", ANIMALS, (100, 200))
    assert np.asarray(found.boxes).tolist() == [[50, 50, 150, 100]]
    assert found.scores.tolist() == [0.5]
    assert found.classes.tolist() == [1]
