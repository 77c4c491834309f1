"""The verbs of `vg.`: what they return, and errors that name the fix."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.make_samples import boxes_of

import visiongarden as vg
from visiongarden.data import Loader
from visiongarden.errors import UserError
from visiongarden.samples import Boxes, Instances
from visiongarden.scenes import make_scenes
from visiongarden.types import FeatureSpec, LevelSpec

CLASSES = ("disc", "ring", "box", "triangle", "star")


def small_detector(seed=0):
    import keras

    keras.utils.set_random_seed(seed)
    return vg.Detector(
        backbone=vg.backbones.CSPDarknet(depth=0.33, width=0.125, levels=("p4", "p5")),
        decoder=vg.decoders.FPN(channels=8, levels=("p4", "p5")),
        head=vg.heads.AnchorFree(num_classes=5),
        image_size=64,
        class_map=CLASSES,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model file, a dataset in COCO's format and files of other kinds."""
    root = tmp_path_factory.mktemp("verbs")
    small_detector().save(root / "model.keras")
    make_scenes(root / "scenes", 10, (64, 64))
    (root / "text.keras").write_text("not a model")
    (root / "empty").mkdir()
    for split, name in (("train", "cat"), ("val", "cat"), ("train", "dog"), ("val", "dog")):
        (root / "folders" / split / name).mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(root / "folders" / split / name / f"{split}{name}.png")
    return root


@pytest.fixture(scope="module")
def model(folder):
    return vg.load(folder / "model.keras")


def is_json(value):
    return json.loads(json.dumps(value.to_dict(), allow_nan=False))


def images_of(folder):
    return sorted((folder / "scenes").rglob("*.png")) or sorted((folder / "scenes").rglob("*.jpg"))


def test_evaluate_accepts_a_path_a_mapping_annotations_and_batches(folder, model):
    by_path = vg.evaluate(folder / "model.keras", folder / "scenes", split="train")
    by_mapping = vg.evaluate(model, {"path": folder / "scenes", "split": "train"})
    annotations = vg.read(folder / "scenes", split="train")
    by_annotations = vg.evaluate(model, annotations)
    assert is_json(by_path) == is_json(by_mapping) == is_json(by_annotations)
    assert by_path["AP"] == by_path.metrics["AP"]
    assert is_json(by_path)["images"] == len(annotations)
    assert repr(by_path).startswith("EvaluationResult(AP=")
    assert CLASSES[0] in str(by_path)


class TwoOfThree:
    """Replaces a predictor: returns two of three objects of the ground truth, image by image."""

    image_size = (64, 64)

    def __init__(self, annotations):
        self.examples = iter(annotations)

    def __call__(self, images):
        found = []
        for _ in images:
            example = next(self.examples, None)
            count = 0 if example is None else len(example.instances)
            kept = np.arange(count) % 3 != 2
            boxes = np.zeros((0, 4), np.float32) if example is None else boxes_of(example)[kept]
            classes = np.zeros(0, np.int32) if example is None else example.instances.classes[kept]
            found.append(Instances((0, 0), Boxes(boxes), classes, scores=np.ones(len(boxes))))
        return found


def test_evaluate_on_batches_equals_evaluate_on_their_annotations(folder, model):
    """The scenes have the size of the network's input, so both are in the same pixels."""
    annotations = vg.read(folder / "scenes", split="train")
    batches = [(batch.images, batch.targets) for batch in Loader(annotations, (64, 64), 3).epoch(0)]
    result = vg.evaluate(model, batches, predictor=TwoOfThree(annotations))
    expected = vg.evaluate(model, annotations, predictor=TwoOfThree(annotations))
    assert 0 < result["AP"] < 1
    assert is_json(result)["metrics"] == is_json(expected)["metrics"]
    assert result.images == len(annotations)


def test_perfect_batches_have_ap_1(model):
    """Ground truth that is the model's own prediction gives AP 1, up to its suppressed boxes."""
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (found,) = vg.predict(model, image, score=0.0)
    best = slice(0, 1)
    targets = {
        "boxes": np.concatenate([found.boxes[best], np.zeros((2, 4), np.float32)])[None],
        "classes": np.concatenate([found.classes[best], [-1, -1]])[None],
    }
    result = vg.evaluate(model, [(image[None], targets)])
    name = CLASSES[found.classes[0]]
    assert result.per_class[name]["AP50"] == pytest.approx(1)


def test_predict_accepts_every_form_of_images(folder, model):
    file = images_of(folder)[0]
    pixels = np.asarray(Image.open(file).convert("RGB"))
    forms = [file, str(file), Image.open(file), pixels, pixels[None], [file], iter([pixels])]
    results = [list(vg.predict(model, form, score=0.0)) for form in forms]
    for (found,) in results:
        np.testing.assert_array_equal(found.boxes, results[0][0].boxes)
        np.testing.assert_array_equal(found.scores, results[0][0].scores)
    (by_fraction,) = model.detect(pixels / 255.0, score=0.0, value_range=(0, 1))
    np.testing.assert_allclose(by_fraction.boxes, results[0][0].boxes, atol=1e-3)
    every = list(vg.predict(folder / "model.keras", file.parent))
    assert len(every) == len(images_of(folder)) or len(every) == len(list(file.parent.iterdir()))


def test_thresholds_of_predict(model):
    image = np.random.default_rng(1).integers(0, 256, (50, 80, 3), np.uint8)
    (every,) = model.detect(image, score=0.0)
    (none,) = model.detect(image, score=1.0)
    assert len(none) == 0
    (few,) = model.detect(image, score=0.0, iou=0.0)
    # Without overlap, no two boxes of a class have a common area.
    for index in range(5):
        boxes = np.asarray(few.boxes[few.classes == index])
        low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        common = np.clip(high - low, 0, None).prod(axis=-1)
        np.testing.assert_allclose(common - np.diag(np.diag(common)), 0, atol=1e-3)
    assert len(few) <= len(every)
    corners = np.asarray(every.boxes)
    assert corners[:, 0].min() >= 0
    assert corners[:, 2].max() <= 80
    assert corners[:, 3].max() <= 50


def test_keras_predict_keeps_its_meaning(model):
    raw = model.predict(np.zeros((1, 64, 64, 3), np.float32), verbose=0)
    assert set(raw) == {"p4", "p5"}
    assert raw["p5"]["classes"].shape == (1, 2, 2, 5)


def test_show_diff_and_repeats(folder, model):
    figure = vg.show(model)
    assert is_json(figure)["count"]["trainable"] == figure.count.trainable
    assert vg.show(folder / "model.keras").count == figure.count
    assert "trainable parameters" in repr(figure)
    same = vg.diff(model, folder / "model.keras")
    assert same.same
    assert "equal" in repr(same)
    wider = vg.diff(vg.decoders.FPN(channels=8), vg.decoders.FPN(channels=16), inputs=spec())
    assert [(f.before, f.after) for f in wider.fields] == [(8, 16)]
    assert is_json(vg.repeats(model))["repeats"]


def spec():
    return FeatureSpec({f"p{i}": LevelSpec(8, 2**i) for i in (3, 4, 5)})


def test_transfer_check_lint_and_verify(folder, model, tmp_path):
    report = vg.transfer(folder / "model.keras", small_detector(seed=1))
    assert report.coverage == 1
    assert is_json(report)["coverage"] == 1
    assert repr(report).startswith("TransferReport(")
    checked = vg.check(vg.blocks.Residual, (2, 16, 24, 8), filters=8, backends=())
    assert checked.ok
    assert repr(checked).startswith("Report(Residual: valid")
    source = tmp_path / "mine.py"
    source.write_text(
        "import keras\n\n\nclass Mine(keras.layers.Layer):\n"
        "    def call(self, x):\n        return x\n"
    )
    found = vg.lint([source])
    assert [finding.code for finding in found] == ["VG101"]
    assert not is_json(found)["ok"]
    assert repr(found) == "LintReport(1 error, 0 warnings in 1 file)"
    verified = vg.verify("yolov8n", model)
    assert not verified.ok
    assert is_json(verified)["card"] == "yolov8n"
    assert "diverges first at" in repr(verified)


def test_the_verbs_of_data(folder, tmp_path):
    report = vg.data.check(folder / "scenes", image_size=64)
    assert report.ok
    assert is_json(report)["error"] == 0
    assert list(Path.cwd().glob("*-check.html")) == []
    vg.data.check(folder / "scenes", output=tmp_path / "page.html")
    assert {file.name for file in tmp_path.iterdir()} == {"page.html", "page.json"}
    converted = vg.data.convert(folder / "scenes", tmp_path / "yolo", format="yolo")
    assert is_json(converted)["format"] == "yolo"
    copied = vg.read(tmp_path / "yolo", split="train")
    np.testing.assert_allclose(
        boxes_of(copied[0]), boxes_of(vg.read(folder / "scenes", split="train")[0]), atol=1e-3
    )
    sheet = vg.data.show(
        folder / "scenes", "transforms.HSV.hue=0", count=4, columns=2, image_size=32
    )
    assert sheet.image.shape == (2 * 32 + 18, 2 * 32 + 18, 3)
    assert is_json(sheet) == {"split": "train", "count": 4, "size": [82, 82]}
    assert sheet._repr_png_().startswith(b"\x89PNG")
    assert vg.read(folder / "folders", split="val").class_map.names == ("cat", "dog")


NOTHING = "nowhere.keras"
ERRORS = {
    "load: no file": (lambda f, m: vg.load(f / NOTHING), "nowhere.keras"),
    "evaluate: no model file": (lambda f, m: vg.evaluate(f / NOTHING, f / "scenes"), "nowhere"),
    "evaluate: no model": (lambda f, m: vg.evaluate(f / "text.keras", f / "scenes"), "text.keras"),
    "evaluate: a number": (lambda f, m: vg.evaluate(3, f / "scenes"), "model is of type int"),
    "evaluate: no dataset": (lambda f, m: vg.evaluate(m, f / "nowhere"), "nowhere"),
    "evaluate: an empty folder": (lambda f, m: vg.evaluate(m, f / "empty"), "empty"),
    "evaluate: another task": (
        lambda f, m: vg.evaluate(m, f / "folders"),
        "received: a dataset with labels",
    ),
    "evaluate: other annotations": (
        lambda f, m: vg.evaluate(m, vg.read(f / "folders", split="val")),
        "no boxes, which detection needs",
    ),
    "evaluate: no split": (lambda f, m: vg.evaluate(m, f / "scenes", split="tset"), "tset"),
    "evaluate: no batch": (lambda f, m: vg.evaluate(m, []), "no batch"),
    "evaluate: no pairs": (lambda f, m: vg.evaluate(m, [1, 2]), "received: int"),
    "evaluate: a number as data": (lambda f, m: vg.evaluate(m, 3), "data is of type int"),
    "evaluate: a field": (lambda f, m: vg.evaluate(m, {"pth": "x"}), "no field 'pth'"),
    "evaluate: no path": (lambda f, m: vg.evaluate(m, {"split": "val"}), "no path"),
    "evaluate: floats": (
        lambda f, m: vg.evaluate(m, [(np.zeros((1, 64, 64, 3)), {})]),
        "have the type float64",
    ),
    "evaluate: no targets": (
        lambda f, m: vg.evaluate(m, [(np.zeros((1, 64, 64, 3), np.uint8), {"box": [[]]})]),
        "no 'boxes'",
    ),
    "predict: no file": (lambda f, m: list(vg.predict(m, f / "nowhere.png")), "nowhere.png"),
    "predict: an empty folder": (lambda f, m: list(vg.predict(m, f / "empty")), "no images"),
    "predict: an empty list": (lambda f, m: vg.predict(m, []), "images is empty"),
    "predict: an empty batch": (
        lambda f, m: vg.predict(m, np.zeros((0, 8, 8, 3), np.uint8)),
        "images is empty",
    ),
    "predict: a number": (lambda f, m: vg.predict(m, 3), "images is of type int"),
    "predict: numbers": (lambda f, m: list(vg.predict(m, [3])), "image 0"),
    "predict: a score": (lambda f, m: vg.predict(m, [], score=25), "score=25"),
    "predict: an IoU": (lambda f, m: vg.predict(m, [], iou="high"), "iou"),
    "predict: a batch size": (lambda f, m: vg.predict(m, [], batch_size=0), "batch_size=0"),
    "export: a format": (lambda f, m: vg.export(m, "m.onnx", format="tflite"), "tflite"),
    "export: a suffix": (lambda f, m: vg.export(m, "m.pb"), "ends in .onnx"),
    "export: a number": (lambda f, m: vg.export(3), "type int"),
    "transfer: a number": (lambda f, m: vg.transfer(f / "model.keras", 3), "type int"),
    "transfer: no file": (lambda f, m: vg.transfer(f / NOTHING, m), "nowhere"),
    "check: a number": (lambda f, m: vg.check(3), "int"),
    "check: no module": (lambda f, m: vg.check("no_such_module"), "no_such_module"),
    "lint: no file": (lambda f, m: vg.lint(f / "no.py"), "no.py"),
    "lint: an empty list": (lambda f, m: vg.lint([]), "no path"),
    "lint: a number": (lambda f, m: vg.lint(3), "type int"),
    "verify: no card": (lambda f, m: vg.verify("yolov99"), "yolov99"),
    "verify: a number": (lambda f, m: vg.verify("yolov8n", 3), "type int"),
    "show: a number": (lambda f, m: vg.show(3), "int"),
    "show: no file": (lambda f, m: vg.show(f / NOTHING), "nowhere"),
    "diff: no file": (lambda f, m: vg.diff(m, f / NOTHING), "nowhere"),
    "diff: a number": (lambda f, m: vg.diff(m, 3), "int"),
    "repeats: a number": (lambda f, m: vg.repeats(3), "int"),
    "repeats: no file": (lambda f, m: vg.repeats(f / "no.cfg"), "no.cfg"),
    "read: a number": (lambda f, m: vg.read(3), "type int"),
    "read: no dataset": (lambda f, m: vg.read(f / "nowhere"), "nowhere"),
    "read: a reader": (lambda f, m: vg.read(f / "scenes", reader="cocoo"), "COCO"),
    "data.check: no dataset": (lambda f, m: vg.data.check(f / "nowhere"), "nowhere"),
    "data.convert: a format": (
        lambda f, m: vg.data.convert(f / "scenes", f / "new", format="yool"),
        "yolo",
    ),
    "data.show: no dataset": (lambda f, m: vg.data.show(f / "nowhere"), "nowhere"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_invalid_arguments_are_user_errors(folder, model, name):
    call, message = ERRORS[name]
    with pytest.raises(UserError) as error:
        call(folder, model)
    assert message in str(error.value)


def test_models_have_the_signature_of_their_constructor():
    names = list(inspect.signature(vg.Detector).parameters)
    assert names[:4] == ["backbone", "decoder", "head", "image_size"]


def test_verbs_of_another_task_are_not_offered(model):
    assert not hasattr(model, "classify")
    with pytest.raises(UserError, match="only detections are suppressed"):
        vg.Classifier(
            backbone=vg.backbones.CSPDarknet(depth=0.33, width=0.125, levels=("p5",)),
            head=vg.heads.Classification(num_classes=2),
            image_size=32,
        ).classify(np.zeros((8, 8, 3), np.uint8), iou=0.5)
