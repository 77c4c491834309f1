"""Evaluation: perfect predictions get AP50 1; boxes are in pixels of the original images."""

import json

import cv2
import numpy as np
import pytest
from tests.make_samples import boxes_of, sample

import visiongarden as vg
from visiongarden.data import Dataset, read
from visiongarden.drawing import draw, grid
from visiongarden.errors import DataError, UserError
from visiongarden.evaluation import Predictor, evaluate, predict
from visiongarden.postprocess import Nms
from visiongarden.reporting import plot_history, predict_files
from visiongarden.samples import Boxes, Instances
from visiongarden.scenes import make_scenes
from visiongarden.tasks import DetectionTask
from visiongarden.types import ClassMap

NAMES = ClassMap(("cat", "dog"))


class Oracle:
    """Replaces a predictor: reads the boxes from the pixels of colored rectangles."""

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
            found.append(Instances((0, 0), Boxes(boxes), classes, scores=np.ones(len(boxes))))
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
        examples.append(sample([box], [i % 2], image))
    return Dataset(NAMES, tuple(examples))


class Model:
    task = "detection"
    class_map = NAMES
    image_size = (64, 96)


def test_perfect_predictions_have_ap50_1():
    result = evaluate(Model, dataset(), batch_size=2, predictor=Oracle())
    assert result.images == 5
    assert result.metrics["AP50"] == pytest.approx(1)
    assert result.metrics["AP"] > 0.85  # a pixel of the canvas is up to three of the image
    assert result.per_class["dog"]["AP50"] == pytest.approx(1)


def named(*names):
    class Other(Model):
        class_map = ClassMap(names) if names else None

    return Other


def test_classes_in_another_order_are_matched_by_name():
    """A model that calls its class 0 "dog" finds dogs where the dataset has cats: AP 0, not 1."""
    result = evaluate(named("dog", "cat"), dataset(), predictor=Oracle())
    assert result.metrics["AP50"] == 0
    assert "matched by name" in result.note

    class Swapped(Oracle):
        def __call__(self, images):
            found = super().__call__(images)
            return [f.replace(classes=1 - f.classes) for f in found]

    result = evaluate(named("dog", "cat"), dataset(), predictor=Swapped())
    assert result.metrics["AP50"] == pytest.approx(1)
    assert list(result.per_class) == ["cat", "dog"]


@pytest.mark.parametrize("names", [("cat", "cow"), ("cat",), ("cat", "dog", "cow")])
def test_other_classes_are_an_error(names):
    with pytest.raises(UserError, match="different classes"):
        evaluate(named(*names), dataset(), predictor=Oracle())


def test_classes_can_be_matched_by_index_on_request():
    with pytest.raises(UserError, match="different classes") as error:
        evaluate(named("a", "b"), dataset(), predictor=Oracle())
    assert error.value.fix.endswith("class_names='model'")
    for side, names in (("model", ["a", "b"]), ("data", ["cat", "dog"])):
        result = evaluate(named("a", "b"), dataset(), predictor=Oracle(), class_names=side)
        assert result.metrics["AP50"] == pytest.approx(1)
        assert list(result.per_class) == names
        assert result.note
    with pytest.raises(UserError, match="numbers of classes"):
        evaluate(named("a"), dataset(), predictor=Oracle(), class_names="data")
    with pytest.raises(UserError, match="class_names is 'mine', which is not a valid choice"):
        evaluate(Model, dataset(), predictor=Oracle(), class_names="mine")


def test_a_model_without_names_takes_those_of_the_data():
    result = evaluate(named(), dataset(), predictor=Oracle())
    assert list(result.per_class) == ["cat", "dog"]


def test_rankings_and_segments_are_put_in_the_order_of_the_data():
    from visiongarden.evaluation.class_names import aligned
    from visiongarden.types import Ranking, Segments

    classes = aligned(named("c", "a", "b"), ClassMap(("a", "b", "c")))
    scores = np.array([0.6, 0.3, 0.1], np.float32)
    ranking = classes.found(Ranking(np.array([0, 2, 1], np.int32), scores))
    assert ranking.classes.tolist() == [2, 1, 0]
    mask = np.array([[0, 1], [2, 2]], np.uint8)
    segments = classes.found(Segments(mask, np.ones((2, 2), np.float32)))
    assert segments.classes.tolist() == [[2, 0], [1, 1]]
    assert segments.classes.dtype == np.uint8


def yolo(folder, names, classes_txt=None):
    """Two images: class 0 in the first, class 1 in the second."""
    for kind in ("images", "labels"):
        (folder / kind / "val").mkdir(parents=True)
    for index in range(2):
        image = np.zeros((64, 96, 3), np.uint8)
        image[16:48, 24:72, 2 - index] = 255  # OpenCV writes BGR
        cv2.imwrite(str(folder / "images" / "val" / f"{index}.png"), image)
        (folder / "labels" / "val" / f"{index}.txt").write_text(f"{index} 0.5 0.5 0.5 0.5\n")
    text = "" if names is None else f"names: [{', '.join(names)}]\n"
    (folder / "data.yaml").write_text(f"train: images/val\nval: images/val\n{text}")
    if classes_txt:
        (folder / "labels" / "val" / "classes.txt").write_text("\n".join(classes_txt) + "\n")
    return folder


@pytest.fixture
def opens_as_model(monkeypatch):
    import importlib

    module = importlib.import_module("visiongarden.evaluation.evaluator")
    monkeypatch.setattr(module, "Predictor", lambda model, postprocess: Oracle())
    monkeypatch.setattr(DetectionTask, "postprocess", lambda *arguments: None)


def test_yolo_data_are_evaluated_by_their_own_names(tmp_path, opens_as_model):
    from visiongarden.evaluation import evaluate

    right = yolo(tmp_path / "right", ["cat", "dog"])
    permuted = yolo(tmp_path / "permuted", ["dog", "cat"])
    assert evaluate(Model, right).metrics["AP50"] == pytest.approx(1)
    assert evaluate(Model, permuted).metrics["AP50"] == 0
    by_number = evaluate(Model, permuted, class_names="model")
    assert by_number.metrics["AP50"] == pytest.approx(1)
    other = yolo(tmp_path / "other", ["cat", "cow"])
    with pytest.raises(UserError, match="different classes"):
        evaluate(Model, other)
    nameless = yolo(tmp_path / "nameless", None) / "data.yaml"
    found = evaluate(Model, nameless, reader="YOLO", class_names="model")
    assert found.metrics["AP50"] == pytest.approx(1)


def test_a_list_of_classes_in_another_order_than_the_yaml_is_an_error(tmp_path):
    folder = yolo(tmp_path / "data", ["cat", "dog"], ["dog", "cat"])
    with pytest.raises(
        DataError, match=r"classes\.txt lists the classes in a different order than"
    ):
        read(folder, split="val")
    read(yolo(tmp_path / "longer", ["cat", "dog"], ["cat", "dog", "cow"]), split="val")


def test_class_names_in_another_order_renumber_yolo_labels(tmp_path):
    folder = yolo(tmp_path / "data", ["cat", "dog"])
    found = read(folder, split="val", class_names=("dog", "cat"))
    assert [one.instances.classes.tolist() for one in found] == [[1], [0]]
    assert found.class_map == ClassMap(("dog", "cat"), (1, 0))


def test_predictions_are_in_pixels_of_each_image():
    examples = dataset()
    found = list(predict(Model, [e.image for e in examples], predictor=Oracle(), batch_size=2))
    for one, example in zip(found, examples, strict=True):
        np.testing.assert_allclose(np.asarray(one.boxes)[0], boxes_of(example)[0], atol=4)


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
    boxes, before = predictor.raw(images).values()
    assert boxes.shape == (2, 84, 4)
    assert before.shape == (2, 84, 2)
    model.set_weights([w + 0.05 for w in model.get_weights()])
    after = predictor.raw(images)["scores"]
    assert not np.allclose(before, after)
    fresh = Predictor(model, postprocess=Nms(score_threshold=0.0)).raw(images)["scores"]
    np.testing.assert_allclose(after, fresh, atol=1e-6)


def test_a_model_of_any_size_needs_an_image_size():
    model = vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        vg.decoders.FPN(channels=16),
        vg.heads.AnchorFree(num_classes=2, bins=4),
    )
    with pytest.raises(UserError, match="images of any size"):
        Predictor(model)


def test_channels_of_a_dataset_at_a_path(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for folder in ("images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    image = np.zeros((64, 64, 4), np.uint8)
    options = {"photometric": "rgb", "extrasamples": ["unspecified"]}
    tifffile.imwrite(tmp_path / "images/val/a.tif", image, **options)
    (tmp_path / "labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text(f"path: .\nval: images/val\nnames: {list(NAMES.names)}\n")
    model = detector()
    with pytest.raises(UserError, match="4 channels") as error:
        evaluate(model, tmp_path)
    assert "channels" in error.value.fix
    for data, channels in ((tmp_path, "rgb"), ([tmp_path], "rgb")):
        assert evaluate(model, data, channels=channels).images == 1
    assert evaluate(model, {"path": tmp_path, "channels": "rgb"}).images == 1


@pytest.mark.slow
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
    with pytest.raises(DataError, match="truncated"):
        predict_files(tmp_path / "m.keras", [broken], tmp_path / "out")


@pytest.mark.parametrize("size", [(20, 20), (64, 300), (1200, 900)])
def test_drawings(size):
    image = np.zeros((*size, 3), np.uint8)
    boxes = np.array([[0, 0, size[1], size[0]], [5, 5, 15, 15]], np.float32)
    found = Instances(size, Boxes(boxes), [0, 1], scores=[0.9, 0.5])
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


@pytest.mark.parametrize(("value", "top"), [(0.5, 1.0), (45.0, 60.0)])
def test_curves_show_metrics_above_1(tmp_path, monkeypatch, value, top):
    from matplotlib.figure import Figure

    limits = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda self, *a, **k: limits.append(self.axes[1].get_ylim()) or save(self, *a, **k),
    )
    history = [{"epoch": 1, "loss": 1.0, "error": value}, {"epoch": 2, "loss": 1.0, "error": 0.1}]
    plot_history(history, tmp_path / "curves.png", ("error",))
    assert value < limits[0][1] <= top


def test_a_model_file_with_other_classes_is_an_error(tmp_path):
    folder = make_scenes(tmp_path / "scenes", 10, (64, 64))
    assert read(folder).class_map.names[0] == "disc"
    detector().save(tmp_path / "m.keras")
    from visiongarden.evaluation import evaluate

    with pytest.raises(UserError, match="only in the model: cat, dog; only in the dataset: disc"):
        evaluate(tmp_path / "m.keras", folder)
