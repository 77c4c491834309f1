"""Conversion between Darknet's files and detectors made of parts or plain Keras graphs."""

import json
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest
from tests.darknet.nets import cfg_of, fastest, names
from tests.make_samples import sample
from tests.shared import inference, shared

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.blocks import Residual
from visiongarden.cli.entry import main
from visiongarden.darknet.cfg import parse_cfg
from visiongarden.darknet.geometry import geometry
from visiongarden.darknet.trace import trace
from visiongarden.data import Dataset, decode
from visiongarden.errors import UserError
from visiongarden.evaluation import evaluate
from visiongarden.evaluation.decoding import decoding_of


def randomized(model):
    """Other statistics than those of a new model, which would hide a swap of mean and variance."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.uniform(0.5, 1.5, weight.shape)
        weight.assign(values if len(weight.shape) == 1 else values * 0.1 - 0.1)
    return model


def found_by(detector, images):
    raw = inference(detector, images)
    found = decoding_of(detector)(raw, detector.image_size)
    boxes, scores = (np.asarray(found[name])[0] for name in ("boxes", "scores"))
    order = np.lexsort(boxes.round(2).T)
    return boxes[order], scores[order]


def small(backbone=None, **head):
    backbone = backbone or vg.backbones.Darknet53(width=0.125)
    decoder = vg.decoders.YOLOv3Decoder(width=0.125)
    return vg.Detector(backbone, decoder, vg.heads.AnchorBased(num_classes=3, **head), 64)


@pytest.mark.slow
@pytest.mark.parametrize("scale_xy", [pytest.param(1.0, marks=pytest.mark.slow), 2.0])
def test_a_detector_is_exported_to_darknet(tmp_path, scale_xy):
    detector = randomized(small(scale_xy=scale_xy))
    vg.export_darknet(detector, tmp_path / "a.cfg", tmp_path / "a.weights")
    again = vg.import_darknet(tmp_path / "a.cfg", tmp_path / "a.weights")
    assert sum(step.kind == "yolo" for step in again.steps) == 3
    images = 255 * np.random.default_rng(1).random((1, 64, 64, 3), np.float32)
    for mine, theirs in zip(found_by(detector, images), found_by(again, images), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-4)


def test_the_official_cfg_is_the_detector():
    cfg = parse_cfg(cfg_of("yolov3"))
    with weightless():
        detector = vg.Detector(
            vg.backbones.Darknet53(),
            vg.decoders.YOLOv3Decoder(),
            vg.heads.AnchorBased(num_classes=80, scale_xy=1.0),
            416,
        )
        ours = geometry(parse_cfg(trace(detector, (416, 416)).text))
    theirs = geometry(cfg, (416, 416))
    assert [(s.kind, s.inputs, s.shape, s.arrays) for s in ours] == [
        (s.kind, s.inputs, s.shape, s.arrays) for s in theirs
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("yolov3-tiny", "DarknetTiny"),
        pytest.param("yolov4-tiny", "CSPDarknetTiny", marks=pytest.mark.slow),
        pytest.param("yolov3", "Darknet53", marks=pytest.mark.slow),
        pytest.param("yolov3-spp", "Darknet53", marks=pytest.mark.slow),
        pytest.param("yolov4", "CSPDarknet53", marks=pytest.mark.slow),
    ],
)
def test_weights_are_assigned_to_parts(tmp_path, name, backbone):
    weights, image, maker = (tmp_path / n for n in ("a.weights", "a.f32", "maker"))
    maker = shared("reference", "darknet", "oracle", "make_random_weights.py")
    made = [sys.executable, maker, cfg_of(name), weights, image, "96", "64", "7"]
    subprocess.run(made, check=True)
    size = {"image_size": (64, 96)}
    detector = vg.import_darknet(cfg_of(name), weights, as_parts=True, **size)
    assert type(detector.parts.backbone).__name__ == backbone
    network = vg.import_darknet(cfg_of(name), weights, **size)
    weights.unlink()
    images = 255 * np.random.default_rng(1).random((1, 64, 96, 3), np.float32)
    for mine, theirs in zip(found_by(detector, images), found_by(network, images), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_plain_graph_is_exported_to_darknet(tmp_path):
    inputs = keras.Input((16, 24, 3))
    x = vg.layers.ConvNormAct(8, 3, strides=2, activation="leaky_relu")(inputs)
    x = y = Residual(8, activation="mish")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = vg.layers.ConvNormAct(8, 3, activation="mish", dilation=2)(x)
    x = keras.layers.MaxPooling2D(2)(keras.layers.ReLU(max_value=6)(x))
    x = keras.layers.Concatenate()([keras.layers.UpSampling2D()(x), y])
    x = keras.layers.Conv2D(6, 1)(keras.layers.Dropout(0.5)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = randomized(keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x)))
    vg.export_darknet(model, tmp_path / "a.cfg", tmp_path / "a.weights")
    again = vg.import_darknet(tmp_path / "a.cfg", tmp_path / "a.weights")
    images = np.random.default_rng(1).random((2, 16, 24, 3), np.float32)
    want = model.predict_on_batch(images)
    # A plain model takes floats from 0 to 1; the imported model takes pixel values.
    found = again.predict_on_batch(255 * images)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)


def graph(*layers, shape=(16, 16, 3)):
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def with_the_image(join):
    """Darknet numbers sections; -1, the image's place here, is the previous one there."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(3, 3, padding="same")(inputs)
    x = keras.layers.Conv2D(3, 3, padding="same")(x)
    return keras.Model(inputs, join([x, inputs]))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: graph(keras.layers.LayerNormalization(name="ln")), ["LayerNormalization ln"]),
        (lambda: graph(keras.layers.Conv2D(4, 3, 2, "same", name="c")), ["Conv2D c", "'same'"]),
        (lambda: graph(keras.layers.Conv2D(4, 1, use_bias=False, name="c")), ["c has no bias"]),
        (lambda: graph(keras.layers.Flatten(name="f")), ["Flatten f", "another order"]),
        (lambda: graph(keras.layers.Conv2D(4, 1), shape=(None, None, 3)), ["image_size="]),
        (
            lambda: graph(keras.layers.ZeroPadding2D(), keras.layers.MaxPooling2D(2, name="m")),
            ["MaxPooling2D m", "padded"],
        ),
        (
            lambda: graph(
                keras.layers.ZeroPadding2D(),
                keras.layers.ZeroPadding2D(name="z"),
                keras.layers.Conv2D(4, 3),
            ),
            ["ZeroPadding2D z", "padded"],
        ),
        (
            lambda: with_the_image(keras.layers.Concatenate(name="j")),
            ["j takes the image, but is not the first layer"],
        ),
        (
            lambda: with_the_image(keras.layers.Add(name="j")),
            ["j takes the image, but is not the first layer"],
        ),
        (lambda: graph(keras.layers.Conv2D(4, 1, activation="relu")), ["as a separate layer"]),
        (
            lambda: vg.Detector(
                vg.backbones.Darknet53(width=0.125),
                vg.decoders.FPN(channels=8),
                vg.heads.AnchorFree(num_classes=2),
                64,
            ),
            ["AnchorFree", "anchor-based"],
        ),
    ],
)
def test_what_darknet_lacks(tmp_path, model, words):
    with pytest.raises(UserError) as caught:
        vg.export_darknet(model(), tmp_path / "a.cfg", tmp_path / "a.weights")
    assert all(word in str(caught.value) for word in words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("yolov3-tiny_3l", ["line ", "differs"]),
        ("yolov4-csp", ["without new_coords"]),
        ("darknet19", ["[yolo] layers"]),
    ],
)
def test_other_cfgs_have_no_equivalent_detector(name, words):
    with pytest.raises(UserError) as caught:
        vg.import_darknet(cfg_of(name), as_parts=True)
    assert all(word in str(caught.value) for word in words)


def run(*arguments):
    with pytest.raises(SystemExit) as done:
        main([str(a) for a in arguments])
    return done.value.code


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.names").write_text("red\nblue\n\n")
    small = "[net]\nwidth=32\nheight=32\n[conv]\nfilters=14\nstride=4\nsize=4\n"
    small += "[yolo]\nclasses=2\nnum=2\nanchors=8,8, 16,16\n"
    (tmp_path / "a.cfg").write_text(small)
    assert run("import-darknet", "a.cfg", "--names", "a.names", "--output", "b.keras") == 0
    assert run("export-darknet", "b.keras", "b.cfg", "b.weights") == 0
    assert (tmp_path / "b.cfg").read_text() == small
    assert run("import-darknet", "b.cfg", "b.weights", "--names", "a.names") == 0
    assert vg.load("b.keras").class_map.names == ("red", "blue")
    cv2.imwrite("photo.png", np.full((40, 60, 3), 99, np.uint8))
    assert run("predict", "b.keras", "photo.png", "--score", "0.1") == 0
    (row,) = json.loads((tmp_path / "predictions" / "detections.json").read_text())
    assert row["detections"][0]["class"] in ("red", "blue")
    (tmp_path / "b.weights").write_bytes((tmp_path / "b.weights").read_bytes()[:-4])
    assert run("import-darknet", "b.cfg", "b.weights") == 2
    assert "layer 0 [convolutional], weights" in capsys.readouterr().err


@pytest.mark.slow
def test_imported_networks_are_evaluated():
    model = fastest("yolo-fastest-1.1", class_map=names())
    photo = decode(shared("reference", "photos", "dog.jpg"))
    (found,) = model.detect(photo, score=0.5)
    dataset = Dataset(model.class_map, (sample(found.boxes, found.classes, photo),))
    # The boxes reach over no border here, so that nothing but the order of scores counts.
    assert evaluate(model, dataset).metrics["AP50"] > 0.9
