"""Imported models equal Darknet's boxes and OpenCV's layers, and are restored bit-exactly."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.darknet.nets import ZOO, cfg_of, fastest, names
from tests.shared import inference, shared

import visiongarden as vg
from visiongarden.data import decode
from visiongarden.errors import ModelFileError, UserError
from visiongarden.postprocess import Nms

TINY = """\
[net]
width=32
height=24
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[convolutional]
filters=14
[yolo]
mask=0,1
anchors=4,5, 8,9
classes=2
num=2
"""


FASTEST = ["yolo-fastest-1.1", pytest.param("yolo-fastest-1.1-xl", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=FASTEST)
def net(request):
    return request.param, fastest(request.param, class_map=names())


def test_boxes_are_darknets(net):
    name, model = net
    expected = json.loads(shared("reference", "yolo_fastest", "expected", "boxes.json").read_text())
    photos = [key.split("|")[1] for key in expected if key.startswith(f"{name}.cfg|")]
    assert len(photos) == 4
    for photo in photos:
        rows = expected[f"{name}.cfg|{photo}"]
        found = model.detect_image(shared("reference", "photos", photo), score=0.3, overlap=0.45)
        assert [model.class_map.names[i] for i in found.classes] == [row[0] for row in rows]
        np.testing.assert_allclose(found.scores, [row[1] for row in rows], rtol=0, atol=5.1e-5)
        np.testing.assert_allclose(found.boxes, [row[2] for row in rows], rtol=0, atol=0.051)


def opencv(name):
    folder = shared("reference", "yolo_fastest", "ModelZoo", ZOO)
    return cv2.dnn.readNetFromDarknet(str(folder / f"{name}.cfg"), str(folder / f"{name}.weights"))


def rounding(values):
    """1e-4, or 1e-5 of the largest value: some reach 30, where float32's own steps are 2e-6."""
    return 1e-4 * max(1, np.abs(values).max() / 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolo-fastest-1.1-xl"])
def test_layers_are_opencvs(name):
    # OpenCV adds 1e-6 to variances, Darknet 1e-5; the oracle's tests hold Darknet's.
    model, other = fastest(name, epsilon=1e-6), opencv(name)
    other.enableFusion(False)
    image = decode(shared("reference", "photos", "person.jpg"))
    other.setInput(cv2.dnn.blobFromImage(image, 1 / 255, model.image_size[::-1]))
    canvas, _ = model.place(image)
    compared = 0
    ours = [np.asarray(y) for y in inference(model.every_layer, [canvas[None]])]
    for step, y in zip(model.steps, ours, strict=True):
        if step.kind in ("convolutional", "shortcut"):
            theirs = other.forward(opencv_name(step)).transpose(0, 2, 3, 1)
            np.testing.assert_allclose(
                y, theirs, rtol=0, atol=rounding(theirs), err_msg=f"{step.index}"
            )
            compared += 1
    assert compared > 100
    for head in model.heads:
        theirs = other.forward(f"conv_{head.index - 1}").transpose(0, 2, 3, 1)
        np.testing.assert_allclose(ours[head.index - 1], theirs, rtol=0, atol=rounding(theirs))


def opencv_name(step):
    if step.kind == "shortcut":
        return f"shortcut_{step.index}"
    activation, norm = step.settings["activation"], step.settings["norm"]
    if activation != "linear":
        return f"{activation}_{step.index + 1}"
    return f"bn_{step.index}" if norm else f"conv_{step.index}"


def test_boxes_are_opencvs():
    model = fastest("yolo-fastest-1.1-xl", epsilon=1e-6)
    other = cv2.dnn.DetectionModel(opencv("yolo-fastest-1.1-xl"))
    other.setInputParams(1 / 255, model.image_size[::-1], swapRB=False)
    nms = Nms(score_threshold=0.3, iou_threshold=0.45)  # as OpenCV: a box has its best class only
    for photo in ("dog.jpg", "bus.jpg", "horses.jpg"):
        image = decode(shared("reference", "photos", photo))
        classes, scores, boxes = other.detect(image, confThreshold=0.3, nmsThreshold=0.45)
        canvas, placement = model.place(image)
        raw = model.decode()(model.predict_on_batch(canvas[None]), model.image_size)
        found = nms(**{name: np.asarray(each)[0] for name, each in raw.items()})
        order = np.argsort(-np.asarray(scores), kind="stable")
        assert len(order) > 2
        assert found.classes.tolist() == np.asarray(classes)[order].tolist()
        np.testing.assert_allclose(found.scores, np.asarray(scores)[order], atol=1e-4)
        sides = np.asarray(boxes)[order]  # whole pixels: left, top, width, height
        corners = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
        # OpenCV moves a box into the image, sides and all, and clips what still extends beyond it.
        ours = placement.undo(np.asarray(found.boxes))
        low = np.maximum(ours[:, :2], 0)
        high = np.minimum(low + ours[:, 2:] - ours[:, :2], image.shape[1::-1])
        np.testing.assert_allclose(np.concatenate([low, high], 1), corners, rtol=0, atol=2.1)


def test_files_are_restored_byte_by_byte(net, tmp_path):
    name, model = net
    vg.export_darknet(model, tmp_path / "a.cfg", tmp_path / "a.weights")
    folder = shared("reference", "yolo_fastest", "ModelZoo", ZOO)
    for end in ("cfg", "weights"):
        assert (tmp_path / f"a.{end}").read_bytes() == (folder / f"{name}.{end}").read_bytes()


OPEN = """
import sys, numpy as np, zlib
{imports}
model = {load}(sys.argv[1])
images = 255 * np.random.default_rng(1).random((1, *model.input_shape[1:]), np.float32)
found = model.predict_on_batch(images)
print([zlib.crc32(np.ascontiguousarray(found[name]).tobytes()) for name in sorted(found)])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imports", "load"),
    [
        ("import visiongarden as vg", "vg.load"),
        ("import keras, visiongarden.darknet", "keras.saving.load_model"),
    ],
)
def test_saved_models_open_anywhere(tmp_path, imports, load):
    model = vg.import_darknet(TINY, class_map=["a", "b"])
    model.save(tmp_path / "a.keras")
    images = 255 * np.random.default_rng(1).random((1, 24, 32, 3), np.float32)
    found = model.predict_on_batch(images)
    prints = [zlib.crc32(np.ascontiguousarray(found[name]).tobytes()) for name in sorted(found)]
    code = OPEN.format(imports=imports, load=load)
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.keras"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip().splitlines()[-1] == str(prints)


@pytest.mark.backends
def test_an_imported_model(tmp_path):
    model = vg.import_darknet(TINY, class_map=["a", "b"])
    assert [w.path for w in model.weights[:2]] == ["layer000_conv/kernel", "layer000_norm/gamma"]
    assert model.output["layer002_yolo"].shape == (None, 12, 16, 14)
    vg.export_darknet(model, tmp_path / "a.cfg", tmp_path / "a.weights")
    again = vg.import_darknet(tmp_path / "a.cfg", tmp_path / "a.weights")
    model.save(tmp_path / "a.keras")
    images = 255 * np.random.default_rng(0).random((2, 24, 32, 3), np.float32)
    want = model.predict_on_batch(images)["layer002_yolo"]
    for other in (again, vg.load(tmp_path / "a.keras")):
        np.testing.assert_array_equal(other.predict_on_batch(images)["layer002_yolo"], want)
    (found,) = model.detect(images[0].astype(np.uint8), score=0.1)
    assert len(found) > 0
    assert np.asarray(found.boxes).shape == (len(found), 4)


@pytest.mark.backends
def test_every_kind_of_layer():
    """The numbers are held by the oracle's networks; here every backend builds and runs them."""
    model = vg.import_darknet(ALL_KINDS)
    for step, tensor in zip(model.steps, model.layer_outputs, strict=True):
        assert np.prod(tensor.shape[1:]) == np.prod(step.shape)
    images = 255 * np.random.default_rng(0).random((2, 16, 24, 3), np.float32)
    found = model.predict_on_batch(images)
    assert found.shape == (2, 6)
    np.testing.assert_allclose(found.reshape(2, 2, 3).sum(-1), 1, rtol=1e-5)


ALL_KINDS = """\
[net]
height=16
width=24
[conv]
filters=8
size=3
pad=1
groups=1
activation=mish
[conv]
batch_normalize=1
filters=16
size=3
pad=1
groups=8
stride=2
activation=swish
[conv]
filters=16
size=3
pad=1
groups=4
dilation=2
activation=relie
[conv]
filters=16
size=3
pad=1
share_index=-1
groups=4
activation=linear
[shortcut]
from=-2, -3
weights_type=per_channel
weights_normalization=softmax
activation=leaky
[route]
layers=-1
groups=2
group_id=1
[maxpool]
size=3
stride=1
[maxpool]
size=3
stride=2
[local_avgpool]
size=3
stride=1
[upsample]
stride=2
scale=0.5
[reorg]
stride=2
[reorg3d]
stride=2
[batchnorm]
[conv]
filters=128
activation=logistic
[sam]
from=-2
[shortcut]
from=9
[avgpool]
[scale_channels]
from=-2
[local]
size=1
filters=4
activation=linear
[crop]
crop_height=1
crop_width=1
[dropout]
[connected]
output=6
batch_normalize=1
activation=elu
[softmax]
groups=2
[cost]
"""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: vg.import_darknet(TINY, class_map=["a"]), ["classes=2", "1 names"]),
        (lambda: vg.import_darknet(TINY, cutoff=1), ["cutoff"]),
        (lambda: vg.import_darknet(TINY, "no.weights"), ["no weights file"]),
        (lambda: vg.import_darknet(TINY).classify(np.zeros((4, 4, 3), np.uint8)), ["detect"]),
        (
            lambda: vg.import_darknet(ALL_KINDS).detect(np.zeros((4, 4, 3), np.uint8)),
            ["no boxes"],
        ),
        (
            lambda: next(vg.import_darknet(TINY).detect(np.zeros((4, 3), np.uint8))),
            ["shape (4, 3)"],
        ),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(UserError) as caught:
        call()
    assert all(word in str(caught.value) for word in words)


def test_arrays_and_files_of_the_same_image(tmp_path):
    model = vg.import_darknet(TINY)
    pixels = np.random.default_rng(0).integers(2, 256, (40, 60, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    (wanted,) = model.detect(pixels, score=0.0)
    alpha = np.dstack([pixels, pixels[..., 0]])
    for image, value_range in (
        (tmp_path / "a.png", None),
        (Image.fromarray(pixels), None),
        (pixels.astype(np.float32), None),
        (alpha, None),
        (pixels / 255, (0, 1)),
    ):
        (found,) = model.detect([image], score=0.0, value_range=value_range)
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
        np.testing.assert_array_equal(
            model.place(image, value_range=value_range)[0], model.place(pixels)[0]
        )
    for call in (lambda image: next(model.detect(image)), model.place):
        with pytest.raises(UserError, match=r"value_range=\(0, 1\)"):
            call(pixels / 255)


def test_an_invalid_cfg_in_a_model_file(tmp_path):
    model = vg.import_darknet(TINY)
    config = model.get_config()
    with pytest.raises(ModelFileError, match="line 13"):
        type(model).from_config(config | {"cfg": config["cfg"].replace("filters=14", "filters=15")})


def test_a_classifier_takes_the_middle():
    model = vg.import_darknet(cfg_of("darknet19"), image_size=(32, 32))
    image = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
    middle = cv2.resize(image, (51, 32))[:, 9:41]
    want = np.asarray(model.predict_on_batch(middle[None]))[0]
    np.testing.assert_allclose(model.class_scores(image), want, atol=1e-6)
    (found,) = model.classify(image)
    np.testing.assert_array_equal(found.classes, np.argsort(-want, kind="stable"))
    np.testing.assert_allclose(found.scores, np.sort(want)[::-1], atol=1e-6)
    assert model.task == "classification"
    assert Path(model.cfg.file).name == "darknet19.cfg"
