"""`predict`: all types of input images; neither results nor images are lost."""

import json
import signal
import threading
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import visiongarden as vg
from visiongarden.cli.entry import main
from visiongarden.errors import DataError, NotFiniteError, UserError
from visiongarden.evaluation import Predictor, predict
from visiongarden.reporting import predict_files, predict_folder
from visiongarden.samples import Boxes, Instances
from visiongarden.tasks import ClassificationTask
from visiongarden.types import ClassMap

NAMES = ClassMap(("cat", "dog"))
RGB = np.random.default_rng(0).integers(2, 256, (64, 96, 3)).astype(np.uint8)


class Model:
    task = "detection"
    class_map = NAMES
    image_size = (64, 96)


class Means:
    """Replaces a predictor: a box whose sides are the mean colors of the canvas."""

    image_size = (64, 96)

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        assert images.dtype == np.uint8
        self.batches.append(len(images))
        means = images.mean(axis=(1, 2)) / 4
        return [Instances((0, 0), Boxes([[0, 0, m[0], m[1]]]), [0], scores=[1]) for m in means]


def boxes(images, **options):
    return [
        np.asarray(found.boxes).tolist()[0]
        for found in predict(Model, images, predictor=Means(), **options)
    ]


@pytest.fixture(scope="module")
def wanted():
    return boxes([RGB])[0]


@pytest.fixture
def file(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RGB[..., ::-1])
    return tmp_path / "a.png"


@pytest.mark.parametrize(
    ("images", "count"),
    [
        (lambda file: file, 1),
        (str, 1),
        (lambda file: [file, str(file)], 2),
        (lambda file: (each for each in [file] * 3), 3),
        (lambda file: np.array([str(file)] * 2), 2),
        (lambda file: RGB, 1),
        (lambda file: np.stack([RGB] * 3), 3),
        (lambda file: [Image.fromarray(RGB), RGB.astype(np.float32), file], 3),
        (lambda file: Image.open(file), 1),
        (lambda file: map(np.asarray, [RGB] * 20), 20),
        (lambda file: iter([]), 0),  # the number of images is not known before
    ],
)
def test_types_of_images(file, wanted, images, count):
    assert boxes(images(file)) == [wanted] * count


def test_a_value_range_of_arrays_does_not_change_files(file, wanted):
    assert boxes([RGB / 255, file], value_range=(0, 1)) == [wanted] * 2


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (None, "images is of type NoneType"),
        (3, "images is of type int"),
        (b"raw", "images is of type bytes"),
        ({"a": 1}, "images is of type dict"),
        ([RGB, None], "image 1 is of type NoneType"),
        ([RGB, [RGB]], "image 1 is of type list"),
        (RGB / 255, "value_range=(0, 1)"),
        ([RGB, RGB / 255], "image 1 is a float array"),
        (np.zeros((3, 64, 96), np.uint8), "np.moveaxis"),
        ([np.stack([RGB, RGB])], "one image at a time"),
        (["nowhere.png"], "nowhere.png"),
    ],
)
def test_invalid_images(images, words):
    with pytest.raises(UserError) as error:
        boxes(images)
    assert words in str(error.value)


def test_a_generator_is_read_batch_by_batch():
    predictor, read = Means(), []

    def images():
        for number in range(5):
            read.append((number, len(predictor.batches)))
            yield RGB

    assert len(list(predict(Model, images(), predictor=predictor, batch_size=2))) == 5
    # The last batch is filled up, and nothing is read before its batch.
    assert predictor.batches == [2, 2, 2]
    assert read == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]


@vg.register(package="test_predict")
class Patches(vg.Backbone):
    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Conv2D(4, 32, strides=32)(image)}


PARTS = {
    "backbone": Patches(),
    "decoder": vg.decoders.PassOn(levels=("p5",)),
    "image_size": (32, 32),
}


def detector():
    head = vg.heads.AnchorFree(num_classes=2, bins=4, levels=("p5",))
    return vg.Detector(head=head, class_map=NAMES, **PARTS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    detector().save(root / "detector.keras")
    head = vg.heads.Classification(num_classes=2)
    vg.Classifier(head=head, class_map=NAMES, **PARTS).save(root / "classifier.keras")
    head = vg.heads.Segmentation(num_classes=2)
    vg.Segmenter(head=head, class_map=NAMES, **PARTS).save(root / "segmenter.keras")
    return root


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Twelve images, of which number 5 is truncated; in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgs").mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 48, 3)).astype(np.uint8)
        cv2.imwrite(f"imgs/{number:02}.png", pixels)
    with Path("imgs/05.png").open("r+b") as stream:
        stream.truncate(500)
    return tmp_path / "imgs"


def code(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def test_one_broken_image_among_twelve(files, images, capsys):
    assert code("predict", files / "classifier.keras", "imgs", "--output", "out") == 1
    rows = json.loads((images.parent / "out" / "classes.json").read_text())
    assert [row["file"] for row in rows] == [f"imgs/{n:02}.png" for n in range(12) if n != 5]
    assert {p.name for p in (images.parent / "out").glob("*.png")} == {
        f"{n:02}.png" for n in range(12) if n != 5
    }
    output = capsys.readouterr()
    assert "warning: skipped: imgs/05.png: the image is truncated" in output.err
    assert "1 of 12 images were skipped" in output.err
    assert "out: 11 images: " in output.out
    # Again: results replace earlier ones.
    (images / "05.png").unlink()
    assert code("predict", files / "classifier.keras", "imgs", "--output", "out") == 0


def test_all_images_broken(files, images):
    with pytest.raises(DataError, match="truncated"):
        predict_files(files / "classifier.keras", [images / "05.png"], "out")
    assert not (images.parent / "out").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_results_before_an_error_are_written(files, images, monkeypatch, error):
    draw, calls = ClassificationTask.draw, []

    def ending(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise error
        return draw(*arguments)

    monkeypatch.setattr(ClassificationTask, "draw", ending)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OSError):
        predict_files(files / "classifier.keras", ["imgs"], "out")
    assert len(json.loads((images.parent / "out" / "classes.json").read_text())) == 3


@pytest.fixture
def default_ctrl_c():
    """Set the default handler, which a process started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_ctrl_c")
def test_ctrl_c_ends_with_exit_code_130(files, images, monkeypatch, capsys):
    draw, calls = ClassificationTask.draw, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return draw(*arguments)

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(ClassificationTask, "draw", interrupted)
    assert code("predict", files / "classifier.keras", "imgs", "--output", "out") == 130
    assert len(json.loads((images.parent / "out" / "classes.json").read_text())) == 2
    assert "interrupted: 10 of 12 images are missing" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["imgs", "imgs/", "./imgs/../imgs", "link"])
def test_the_folder_of_the_images_is_not_a_valid_output(files, images, output):
    Path("link").symlink_to("imgs")
    before = {p.name: p.read_bytes() for p in images.iterdir()}
    for given in (["imgs"], ["imgs/00.png"], ["link/01.png"]):
        with pytest.raises(UserError, match="contains the input image") as error:
            predict_files(files / "classifier.keras", given, output)
        assert error.value.fix.startswith("output=")
    assert {p.name: p.read_bytes() for p in images.iterdir()} == before


@pytest.mark.parametrize(
    ("model", "name", "content"),
    [
        ("classifier", "00.png", None),
        ("classifier", "classes.json", b'{"my": "classes"}'),
        ("classifier", "classes.csv", b"my,table"),
        ("segmenter", "masks/00.png", None),
        ("segmenter", "segments.json", b"[1, 2]"),
    ],
)
def test_other_files_are_never_replaced(files, images, model, name, content):
    mine = images.parent / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(content or (images / "11.png").read_bytes())
    before = mine.read_bytes()
    with pytest.raises(UserError, match="is not a result of an earlier prediction"):
        predict_files(files / f"{model}.keras", ["imgs/00.png"], "out")
    assert mine.read_bytes() == before
    assert [p.name for p in (images.parent / "out").rglob("*") if p.is_file()] == [mine.name]


def test_results_of_earlier_predictions_are_replaced(files, images):
    for given in ("imgs/00.png", "imgs/01.png", "imgs/00.png"):
        predict_files(files / "segmenter.keras", [given], "out")
    mask = np.asarray(Image.open("out/masks/00.png"))
    assert (mask.dtype, mask.shape) == (np.uint8, (40, 48))
    rows = json.loads((images.parent / "out" / "segments.json").read_text())
    assert [row["file"] for row in rows] == ["imgs/00.png"]


def test_summaries_count_the_predictions(files, images):
    (images / "05.png").unlink()
    every = predict_folder(files / "detector.keras", ["imgs"], "a", score=0.0)
    rows = json.loads((images.parent / "a" / "detections.json").read_text())
    counts = [len(row["detections"]) for row in rows]
    assert (
        every.summary
        == f"11 images: {sum(counts)} detections in {sum(c > 0 for c in counts)} images"
    )
    none = predict_folder(files / "detector.keras", ["imgs"], "b", score=1.0)
    best = max(d["score"] for row in rows for d in row["detections"])
    assert none.summary.startswith(
        "11 images: no detection with a score above 1; the best score is "
    )
    assert float(none.summary.split()[-1]) == pytest.approx(best, rel=1e-2)
    ranked = predict_folder(files / "classifier.keras", ["imgs"], "c")
    rows = json.loads((images.parent / "c" / "classes.json").read_text())
    cats = sum(row["classes"][0]["class"] == "cat" for row in rows)
    assert (f"cat in {cats}" in ranked.summary) == (cats > 0)
    segmented = predict_folder(files / "segmenter.keras", ["imgs/00.png"], "d").summary
    assert segmented.startswith("1 image: ")
    assert " in 1" in segmented


def test_a_model_whose_scores_are_nan_is_an_error():
    model = detector()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    with pytest.raises(NotFiniteError, match="NaN"):
        list(predict(model, RGB))


def test_a_predictor_accepts_only_uint8():
    with pytest.raises(UserError, match="the images are of type float32"):
        Predictor(detector())(np.zeros((1, 32, 32, 3), np.float32))


@pytest.mark.slow
def test_masks_are_written_as_run_lengths_or_polygons(tmp_path, file):
    head = vg.heads.AnchorFreeMasks(num_classes=2, bins=4, prototypes=4)
    vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625, levels=("p3",)),
        vg.decoders.FPN(channels=8, levels=("p3",)),
        head,
        image_size=(64, 96),
        class_map=NAMES,
    ).save(tmp_path / "m.keras")
    found = {}
    for masks in ("rle", "polygons"):
        folder = predict_folder(
            tmp_path / "m.keras", [file], tmp_path / masks, score=1e-5, masks=masks
        ).folder
        found[masks] = json.loads((folder / "detections.json").read_text())[0]["detections"]
    assert len(found["rle"]) == len(found["polygons"]) > 0
    for one, other in zip(found["rle"], found["polygons"], strict=True):
        pixels = coco_mask.decode(one["segmentation"])
        assert pixels.shape == (64, 96)
        if other["segmentation"] is None:
            assert not pixels.any()
            continue
        drawn = coco_mask.merge(coco_mask.frPyObjects(other["segmentation"], 64, 96))
        assert np.array_equal(coco_mask.decode(drawn), pixels)
    with pytest.raises(UserError, match="did you mean polygons"):
        predict_folder(tmp_path / "m.keras", [file], tmp_path / "new", masks="polygon")
    assert not (tmp_path / "new").exists()


def test_masks_of_a_model_without_them_are_an_error(files, images):
    with pytest.raises(UserError, match="have no masks of objects"):
        predict_folder(files / "classifier.keras", [images / "05.png"], "out", masks="polygons")
